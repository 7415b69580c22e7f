-- Monthly recurring revenue per segment: at the beginning, each movement, at the end; and the annual figure.
--
-- Key: month, segment, currency. In: mrr_movement, customer_months, customer_states. start + gained - lost = ending in each row. A
-- customer who changes segment takes along its history. Restated as mrr_movement is. Back-dated, corrected and superseded
-- statements move its months; late ones are those that restate.
CREATE MATERIALIZED VIEW mrr_monthly WITH (key = 'month,segment,currency') AS
SELECT x.month, coalesce(c.segment, 'unknown') AS segment, x.currency,
       sum(x.ending) - sum(x.delta) AS start_mrr,
       sum(CASE WHEN x.kind = 'new' THEN x.delta ELSE 0 END) AS new_mrr,
       sum(CASE WHEN x.kind = 'reactivation' THEN x.delta ELSE 0 END) AS reactivation,
       sum(CASE WHEN x.kind = 'expansion' THEN x.delta ELSE 0 END) AS expansion,
       sum(CASE WHEN x.kind = 'contraction' THEN -x.delta ELSE 0 END) AS contraction,
       sum(CASE WHEN x.kind = 'churn' THEN -x.delta ELSE 0 END) AS churn,
       sum(x.ending) AS end_mrr, 12 * sum(x.ending) AS arr
FROM (
    SELECT month, customer_id, currency, kind, delta, 0.00 AS ending FROM mrr_movement
    UNION ALL
    SELECT month::date, customer_id, currency, 'end', 0, mrr FROM customer_months
) x
LEFT JOIN customer_states c ON c.customer_id = x.customer_id
GROUP BY x.month, coalesce(c.segment, 'unknown'), x.currency;
