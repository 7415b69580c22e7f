-- Every hit of every rule, in one shape.
--
-- Key: rule_id, pivot, hit_id. In: the views of F1 to F12 (F12: fraud_rings and fraud_motifs). outcome follows from the score:
-- below 0.4 approve, below 0.7 review, below 0.9 block_and_review, else decline. A hit goes when its cause goes. Late and
-- corrected events give and take hits as the rules say.
CREATE MATERIALIZED VIEW fraud_hits WITH (key = 'rule_id,pivot,hit_id') AS
SELECT rule_id, rule_version, pivot, hit_id, customer_id, payment_id, happened_at, score,
       CASE WHEN score < 0.4 THEN 'approve' WHEN score < 0.7 THEN 'review' WHEN score < 0.9 THEN 'block_and_review' ELSE 'decline' END AS outcome,
       evidence
FROM (
    SELECT rule_id, rule_version, pivot, 'payment/' || payment_id AS hit_id, customer_id, payment_id, happened_at, score::numeric(9, 4) AS score, evidence FROM fraud_velocity
    UNION ALL
    SELECT rule_id, rule_version, pivot, 'payment/' || payment_id, customer_id, payment_id, happened_at, score::numeric(9, 4), evidence FROM fraud_amount_outlier
    UNION ALL
    SELECT rule_id, rule_version, pivot, 'payment/' || payment_id, customer_id, payment_id, happened_at, score::numeric(9, 4), evidence FROM fraud_terminal_risk
    UNION ALL
    SELECT rule_id, rule_version, pivot, point_id, customer_id, NULL, happened_at, score::numeric(9, 4), evidence FROM fraud_impossible_travel
    UNION ALL
    SELECT rule_id, rule_version, pivot, 'window/' || window_start::text, customer_id, worked_payment_id, happened_at, score::numeric(9, 4), evidence FROM fraud_card_testing
    UNION ALL
    SELECT rule_id, rule_version, pivot, 'refund/' || refund_id || '/' || kind, customer_id, NULL, happened_at, score::numeric(9, 4), evidence FROM fraud_refund_abuse
    UNION ALL
    SELECT rule_id, rule_version, pivot, 'day/' || day::text, customer_id, NULL, happened_at, score::numeric(9, 4), evidence FROM fraud_sim_box
    UNION ALL
    SELECT rule_id, rule_version, pivot, 'usage/' || usage_id, customer_id, NULL, happened_at, score::numeric(9, 4), evidence FROM fraud_irsf
    UNION ALL
    SELECT rule_id, rule_version, pivot, 'window/' || window_start::text, customer_id, NULL, happened_at, score::numeric(9, 4), evidence FROM fraud_wangiri
    UNION ALL
    SELECT rule_id, rule_version, pivot, 'bill/' || bill_id, customer_id, NULL, happened_at, score::numeric(9, 4), evidence FROM fraud_subscription
    UNION ALL
    SELECT rule_id, rule_version, pivot, act_id, customer_id, NULL, happened_at, score::numeric(9, 4), evidence FROM fraud_takeover
    UNION ALL
    SELECT rule_id, rule_version, pivot, pivot, customer_id, NULL, happened_at, score::numeric(9, 4), evidence FROM fraud_rings
    UNION ALL
    SELECT rule_id, rule_version, pivot, pivot, customer_id, NULL, happened_at, score::numeric(9, 4), evidence FROM fraud_motifs
) hits;
