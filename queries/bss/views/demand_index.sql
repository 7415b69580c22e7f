-- How much each product is wanted in each region and hour, beside what is usual at that hour of the week.
--
-- Key: offering_id, region, hour. In: visits_told, sessions, order_states, order_lines, customer_states. wanted = 0.2 a view, 0.5 a
-- cart, 1 an order; usual is the mean of the same hour of the week in the 28 days before; demand = wanted / usual, between
-- 0.25 and 4, and 1 where nothing is usual. region is the country of the order or of the customer, 'unknown' for visitors nobody
-- knows. An hour is open until ten minutes after its end: what is recorded, voided or cancelled by then changes it, what comes later
-- does not, so a price that was made from it stays explained. Views of bots are left out.
CREATE MATERIALIZED VIEW demand_index WITH (key = 'offering_id,region,hour') AS
WITH acts AS (
    SELECT v.offering_id, coalesce(c.country, 'unknown') AS region, date_trunc('hour', v.happened_at) AS hour,
           CASE WHEN v.kind = 'cart' THEN 0.5 ELSE 0.2 END AS weight
    FROM visits_told v
    LEFT JOIN customer_states c ON c.customer_id = v.customer_id
    LEFT JOIN (SELECT visitor, started_at, ended_at FROM sessions WHERE is_bot) b
      ON b.visitor = v.visitor AND v.happened_at BETWEEN b.started_at AND b.ended_at
    WHERE v.kind IN ('view', 'cart') AND v.offering_id IS NOT NULL AND b.visitor IS NULL
      AND coalesce(v.recorded_at, v.happened_at) <= date_trunc('hour', v.happened_at) + INTERVAL '70 minutes'
      AND (v.voided_at IS NULL OR v.voided_at > date_trunc('hour', v.happened_at) + INTERVAL '70 minutes')
    UNION ALL
    SELECT l.offering_id, coalesce(o.country, 'unknown'), date_trunc('hour', o.ordered_at), 1.0
    FROM order_lines l
    JOIN order_states o ON o.order_id = l.order_id
    WHERE l.offering_id IS NOT NULL
      AND (o.state NOT IN ('cancelled', 'rejected', 'failed') OR o.changed_at > date_trunc('hour', o.ordered_at) + INTERVAL '70 minutes')
), hours AS (
    SELECT offering_id, region, hour, sum(weight) AS wanted FROM acts GROUP BY offering_id, region, hour
), beside AS (
    SELECT offering_id, region, hour, wanted,
           coalesce(sum(wanted) OVER (PARTITION BY offering_id, region, extract(dow FROM hour), extract(hour FROM hour) ORDER BY hour
                    RANGE BETWEEN INTERVAL '28 days' PRECEDING AND INTERVAL '1 hour' PRECEDING), 0) / 4 AS usual
    FROM hours
)
SELECT offering_id, region, hour, wanted, round(usual, 4) AS usual,
       CASE WHEN usual > 0 THEN round(greatest(0.25, least(4.0, wanted / usual)), 4) ELSE 1.0 END AS demand
FROM beside;
