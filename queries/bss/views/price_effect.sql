-- What each price change did: units sold in the days before and after it, where it held and elsewhere.
--
-- Key: price_id, price_version. In: offering_prices, order_states, order_lines, clock_day, the clock. The days are matched: the
-- full days since (days, 28 at most) are compared with the same weekdays a whole number of weeks before, the fewest that end before
-- the change, so that a weekend is not compared with working days; the day of the change belongs to those after. Where the price names a region, all others are the control; effect is the
-- growth there less the growth of the control (0 without one). complete when 28 days have passed by the clock. A cancelled order
-- leaves both counts; a corrected price moves its row. A late order counts on its own day.
CREATE MATERIALIZED VIEW price_effect WITH (key = 'price_id,price_version') AS
WITH sales AS (
    SELECT l.offering_id, coalesce(o.country, 'unknown') AS region, o.ordered_at::date AS day, sum(l.quantity) AS quantity
    FROM order_lines l
    JOIN order_states o ON o.order_id = l.order_id
    WHERE o.state NOT IN ('cancelled', 'rejected', 'failed') AND l.offering_id IS NOT NULL
    GROUP BY l.offering_id, coalesce(o.country, 'unknown'), o.ordered_at::date
), changes AS (
    SELECT price_id, price_version, offering_id, region, currency, unit_price, valid_from,
           lag(unit_price) OVER (PARTITION BY offering_id, coalesce(region, ''), coalesce(segment, ''), price_type ORDER BY valid_from, price_id, price_version) AS price_before
    FROM offering_prices
    WHERE price_type IN ('recurring', 'oneTime') AND unit_price IS NOT NULL AND valid_from IS NOT NULL
), matched AS (
    SELECT c.price_id, c.price_version, c.offering_id, c.region, c.currency, c.valid_from, c.price_before, c.unit_price,
           c.days, (c.days + 6) / 7 * 7 AS shift
    FROM (SELECT c.*, least(28, greatest(0, t.today - c.valid_from::date)) AS days FROM changes c CROSS JOIN clock_day t) c
    WHERE c.price_before IS NOT NULL AND c.price_before <> c.unit_price
), counted AS (
    SELECT c.price_id, c.price_version,
           coalesce(sum(s.quantity) FILTER (WHERE s.day < c.valid_from::date - c.shift + c.days AND (c.region IS NULL OR s.region = c.region)), 0) AS before_units,
           coalesce(sum(s.quantity) FILTER (WHERE s.day >= c.valid_from::date AND (c.region IS NULL OR s.region = c.region)), 0) AS after_units,
           coalesce(sum(s.quantity) FILTER (WHERE s.day < c.valid_from::date - c.shift + c.days AND s.region <> c.region), 0) AS control_before,
           coalesce(sum(s.quantity) FILTER (WHERE s.day >= c.valid_from::date AND s.region <> c.region), 0) AS control_after
    FROM matched c
    JOIN sales s ON s.offering_id = c.offering_id AND s.day >= c.valid_from::date - c.shift AND s.day < c.valid_from::date + c.days
    GROUP BY c.price_id, c.price_version
)
SELECT c.price_id, c.price_version, c.offering_id, c.region, c.currency, c.valid_from, c.price_before, c.unit_price AS price,
       coalesce(n.before_units, 0) AS before_units, coalesce(n.after_units, 0) AS after_units,
       coalesce(n.control_before, 0) AS control_before, coalesce(n.control_after, 0) AS control_after,
       CASE WHEN n.before_units > 0 THEN round(n.after_units::numeric / n.before_units - 1
            - CASE WHEN n.control_before > 0 THEN n.control_after::numeric / n.control_before - 1 ELSE 0 END, 4) END AS effect,
       c.days, c.valid_from + INTERVAL '28 days' <= now() AS complete
FROM matched c
LEFT JOIN counted n ON n.price_id = c.price_id AND n.price_version = c.price_version;
