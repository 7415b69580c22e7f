-- How many customers left per month and segment, and what those of a year before are worth now (NRR, and GRR without expansion).
--
-- Key: month, segment, currency. In: customer_months, mrr_movement, subscription_intervals, customer_states. logo_churn = churned /
-- active at the start. involuntary are those whose last subscription ended for nonPayment or fraud. nrr and grr compare with
-- the same customers twelve months earlier and are NULL in the first year. Back-dated changes restate the months they touch. A
-- termination that is taken back takes its churn back.
CREATE MATERIALIZED VIEW churn_monthly WITH (key = 'month,segment,currency') AS
WITH ended AS (
    SELECT customer_id, date_trunc('month', from_at)::date AS month,
           bool_or(termination_reason IN ('nonPayment', 'fraud')) AS involuntary
    FROM subscription_intervals
    WHERE state = 'terminated'
    GROUP BY customer_id, date_trunc('month', from_at)::date
), facts AS (
    SELECT (month + INTERVAL '1 month')::date AS month, customer_id, currency, 1 AS active_at_start, 0 AS churned, 0 AS involuntary,
           0.00 AS mrr_year_before, 0.00 AS mrr_kept, 0.00 AS mrr_kept_at_most
    FROM customer_months
    WHERE month + INTERVAL '2 months' <= date_trunc('month', now() AT TIME ZONE 'UTC')
    UNION ALL
    SELECT m.month, m.customer_id, m.currency, 0, 1, CASE WHEN e.involuntary THEN 1 ELSE 0 END, 0, 0, 0
    FROM mrr_movement m
    LEFT JOIN ended e ON e.customer_id = m.customer_id AND e.month = m.month
    WHERE m.kind = 'churn'
    UNION ALL
    SELECT (a.month + INTERVAL '12 months')::date, a.customer_id, a.currency, 0, 0, 0, a.mrr, coalesce(b.mrr, 0),
           least(a.mrr, coalesce(b.mrr, 0))
    FROM customer_months a
    LEFT JOIN customer_months b
           ON b.customer_id = a.customer_id AND b.currency = a.currency AND b.month = a.month + INTERVAL '12 months'
    WHERE a.month + INTERVAL '13 months' <= date_trunc('month', now() AT TIME ZONE 'UTC')
)
SELECT f.month, coalesce(c.segment, 'unknown') AS segment, f.currency, sum(f.active_at_start) AS active_at_start,
       sum(f.churned) AS churned, sum(f.involuntary) AS involuntary,
       round(sum(f.churned)::numeric / nullif(sum(f.active_at_start), 0), 4) AS logo_churn,
       round(sum(f.mrr_kept) / nullif(sum(f.mrr_year_before), 0), 4) AS nrr,
       round(sum(f.mrr_kept_at_most) / nullif(sum(f.mrr_year_before), 0), 4) AS grr
FROM facts f
LEFT JOIN customer_states c ON c.customer_id = f.customer_id
GROUP BY f.month, coalesce(c.segment, 'unknown'), f.currency;
