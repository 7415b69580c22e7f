-- What each customer is interested in: shares of the categories, which add up to 1.
--
-- Key: customer_id, category. In: visits, order_states, order_lines, offering_states. Weights: view, search, campaign and
-- rating 1, cart 4, bought 10, cancelled order -8 beside the 10 (as a return); what is 14 days older counts half. All of it
-- ages alike, so shares change with events only and not with the clock. A voided view goes; a cancelled order turns round;
-- categories whose sum is not above 0 have no row. Late events count at their own day; a corrected one takes the place of the
-- one before.
CREATE MATERIALIZED VIEW interest_profile WITH (key = 'customer_id,category') AS
WITH acts AS (
    SELECT v.customer_id, v.offering_id, v.happened_at::date AS day, CASE WHEN v.kind = 'cart' THEN 4 ELSE 1 END AS weight
    FROM visits v
    WHERE v.customer_id IS NOT NULL AND v.offering_id IS NOT NULL
    UNION ALL
    SELECT o.customer_id, l.offering_id, o.ordered_at::date,
           CASE WHEN o.state IN ('cancelled', 'rejected', 'failed') THEN -8 ELSE 10 END
    FROM order_states o
    JOIN order_lines l ON l.order_id = o.order_id
    WHERE o.customer_id IS NOT NULL AND l.offering_id IS NOT NULL AND coalesce(l.action, 'add') = 'add'
), daily AS (
    SELECT a.customer_id, coalesce(o.category, 'unknown') AS category, a.day, sum(a.weight) AS weight
    FROM acts a
    LEFT JOIN offering_states o ON o.offering_id = a.offering_id
    GROUP BY a.customer_id, coalesce(o.category, 'unknown'), a.day
), latest AS (
    SELECT customer_id, max(day) AS day FROM daily GROUP BY customer_id
), aged AS (
    SELECT d.customer_id, d.category, sum(d.weight) AS weight, max(d.day) AS last_on,
           sum(round((d.weight::double precision * exp(-0.04951051289713895 * (l.day - d.day)::double precision))::numeric, 6)) AS interest
    FROM daily d
    JOIN latest l ON l.customer_id = d.customer_id
    GROUP BY d.customer_id, d.category
), positive AS (
    SELECT customer_id, category, weight, last_on, interest, sum(interest) OVER (PARTITION BY customer_id) AS total
    FROM aged
    WHERE interest > 0
)
SELECT customer_id, category, round(interest / total, 4) AS share, weight, last_on
FROM positive;
