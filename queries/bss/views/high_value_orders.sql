-- Orders that were unusually large where they were made, as judged when they became known.
--
-- Key: order_id. In: order_creations, order_states. An order is one when its first gross reaches 1,000 and the 99th percentile of its
-- country's orders in its currency that became known in the 30 days before its own day (UTC); with fewer than 20 such orders only the
-- 1,000 count. threshold says what it was compared with. It is never judged anew: an order that is told late becomes known late and
-- counts from then on, and one that is amended or cancelled later has been ordered all the same. A cancelled, rejected or failed
-- order leaves the list; it stays in the thresholds. Created told again with a greater version is the correction of what was
-- first told.
CREATE MATERIALIZED VIEW high_value_orders WITH (key = 'order_id') AS
WITH known AS (
    SELECT order_id, country, currency, coalesce(recorded_at, created_at)::date AS day, gross
    FROM order_creations
    WHERE gross IS NOT NULL
), usual AS (
    SELECT country, currency, day + ahead::int AS day, count(*) AS orders, percentile_disc(0.99) WITHIN GROUP (ORDER BY gross) AS p99
    FROM (SELECT country, currency, day, gross, generate_series(1, 30) AS ahead FROM known) spread
    GROUP BY country, currency, day + ahead::int
)
SELECT j.order_id, o.customer_id, j.country, j.currency, o.ordered_at, j.gross, j.orders, j.threshold
FROM (
    SELECT v.order_id, v.country, v.currency, v.gross, coalesce(u.orders, 0) AS orders,
           greatest(1000.00, CASE WHEN u.orders >= 20 THEN u.p99 END) AS threshold
    FROM known v
    LEFT JOIN usual u ON u.country = v.country AND u.currency = v.currency AND u.day = v.day
) j
JOIN order_states o ON o.order_id = j.order_id
WHERE j.gross >= j.threshold AND o.state NOT IN ('cancelled', 'rejected', 'failed');
