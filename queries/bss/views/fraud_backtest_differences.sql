-- The payments on which the live F1 and its candidate differ, each with what its labels say.
--
-- Key: payment_id. In: fraud_candidate_hits, fraud_velocity, fraud_labels. hit_by is live or candidate: the one of the two that hits.
-- fraud is NULL where no label speaks of the payment. A row goes when both agree, by a late, corrected or voided attempt. The counts
-- by day are in fraud_backtest.
CREATE MATERIALIZED VIEW fraud_backtest_differences WITH (key = 'payment_id') AS
SELECT coalesce(l.payment_id, c.payment_id) AS payment_id, coalesce(l.customer_id, c.customer_id) AS customer_id,
       coalesce(l.happened_at, c.attempted_at) AS happened_at, CASE WHEN l.payment_id IS NULL THEN 'candidate' ELSE 'live' END AS hit_by,
       c.by_instrument, c.by_customer, b.fraud
FROM (SELECT payment_id, max(customer_id) AS customer_id, max(happened_at) AS happened_at FROM fraud_velocity GROUP BY payment_id) l
FULL JOIN fraud_candidate_hits c ON c.payment_id = l.payment_id
LEFT JOIN (
    SELECT payment_id, bool_or(coalesce(is_fraud, true) AND event_type NOT LIKE '%revoked%') AS fraud
    FROM fraud_labels WHERE payment_id IS NOT NULL GROUP BY payment_id
) b ON b.payment_id = coalesce(l.payment_id, c.payment_id)
WHERE l.payment_id IS NULL OR c.payment_id IS NULL;
