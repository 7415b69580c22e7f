-- What each customer was worth per month at the end of each month that has ended: the sum of its subscriptions then.
--
-- Key: month, customer_id, currency. In: subscription_intervals, customer_roots, the clock. Trials, one-off charges and usage do not
-- count. A back-dated change or termination restates all months that it touches; restated_at is when the last statement came that
-- changed a month after its end, ended_by when what ended it was stated. A merged customer counts under the one who goes on.
-- Months are those of UTC. A correction is a version with a greater number and restates its months; a superseded one is gone
-- from all of them.
CREATE MATERIALIZED VIEW customer_months WITH (key = 'month,customer_id,currency') AS
SELECT month, customer_id, currency, sum(mrr) AS mrr,
       CASE WHEN max(stated_at) > month + INTERVAL '1 month' THEN max(stated_at) END AS restated_at,
       max(ended_by) AS ended_by
FROM (
    SELECT g.m AS month, coalesce(r.goes_on_as, s.customer_id) AS customer_id, s.currency, s.mrr,
           s.stated_at, s.ended_by
    FROM (
        SELECT customer_id, currency, mrr, from_at, until_at, stated_at, ended_by,
               date_trunc('month', now() AT TIME ZONE 'UTC') AS this_month
        FROM subscription_intervals
        WHERE mrr > 0
    ) s
    CROSS JOIN LATERAL generate_series(
        date_trunc('month', s.from_at),
        least(coalesce(s.until_at, s.this_month), s.this_month) - INTERVAL '1 month',
        INTERVAL '1 month'
    ) AS g (m)
    LEFT JOIN customer_roots r ON r.customer_id = s.customer_id
) x
GROUP BY month, customer_id, currency;
