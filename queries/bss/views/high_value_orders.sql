-- Orders that are unusually large where they were made.
--
-- Key: order_id. In: order_states. An order is one when its gross reaches 1,000 and the 99th percentile of its country's
-- orders in its currency of the 30 days before its own day; with fewer than 20 such orders only the 1,000 count. threshold
-- says what it was compared with: that of its day, whatever comes after. A late order may change the thresholds of the 30 days
-- after it. A cancelled, rejected or failed order is none, and counts in no threshold.
CREATE MATERIALIZED VIEW high_value_orders WITH (key = 'order_id') AS
WITH valid AS (
    SELECT order_id, customer_id, country, currency, ordered_at, ordered_at::date AS day, gross
    FROM order_states
    WHERE state NOT IN ('cancelled', 'rejected', 'failed')
), usual AS (
    SELECT country, currency, day + ahead::int AS day, count(*) AS orders, percentile_disc(0.99) WITHIN GROUP (ORDER BY gross) AS p99
    FROM (SELECT country, currency, day, gross, generate_series(1, 30) AS ahead FROM valid) spread
    GROUP BY country, currency, day + ahead::int
)
SELECT order_id, customer_id, country, currency, ordered_at, gross, orders, threshold
FROM (
    SELECT v.order_id, v.customer_id, v.country, v.currency, v.ordered_at, v.gross, coalesce(u.orders, 0) AS orders,
           greatest(1000.00, CASE WHEN u.orders >= 20 THEN u.p99 END) AS threshold
    FROM valid v
    LEFT JOIN usual u ON u.country = v.country AND u.currency = v.currency AND u.day = v.day
) judged
WHERE gross >= threshold;
