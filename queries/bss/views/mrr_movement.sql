-- How the monthly recurring revenue of each customer moved: new, reactivation, expansion, contraction, churn.
--
-- Key: month, customer_id, currency. In: customer_months. Per customer, so a change of plan is one movement. new: never worth
-- anything before; reactivation: nothing the month before, something earlier. What was at the end of the month before, plus new,
-- reactivation, expansion, less contraction and churn, is what is at its end. A back-dated termination moves the churn to its
-- month; restated_at says when. A termination that is superseded takes its churn back.
CREATE MATERIALIZED VIEW mrr_movement WITH (key = 'month,customer_id,currency') AS
WITH run AS (
    SELECT month, customer_id, currency, mrr, restated_at, ended_by,
           lag(month) OVER (PARTITION BY customer_id, currency ORDER BY month) AS month_before,
           lag(mrr) OVER (PARTITION BY customer_id, currency ORDER BY month) AS mrr_before,
           lead(month) OVER (PARTITION BY customer_id, currency ORDER BY month) AS month_after
    FROM customer_months
)
SELECT month::date AS month, customer_id, currency,
       CASE WHEN month_before IS NULL THEN 'new'
            WHEN month_before + INTERVAL '1 month' < month THEN 'reactivation'
            WHEN mrr > mrr_before THEN 'expansion'
            ELSE 'contraction' END AS kind,
       mrr - CASE WHEN month_before + INTERVAL '1 month' = month THEN mrr_before ELSE 0 END AS delta,
       restated_at
FROM run
WHERE month_before IS NULL OR month_before + INTERVAL '1 month' < month OR mrr <> mrr_before
UNION ALL
SELECT (month + INTERVAL '1 month')::date, customer_id, currency, 'churn', -mrr,
       CASE WHEN ended_by > month + INTERVAL '2 months' THEN ended_by END
FROM run
WHERE (month_after IS NULL OR month + INTERVAL '1 month' < month_after)
  AND month + INTERVAL '2 months' <= date_trunc('month', now() AT TIME ZONE 'UTC');
