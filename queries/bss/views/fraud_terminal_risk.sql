-- F3: payments at a terminal or merchant that is known for fraud.
--
-- Key: payment_id. In: pay_attempts, fraud_labels. A hit when, of the labels that became known in the 28 days up to the
-- payment, 5 or more are of its terminal (of its merchant, where it names no terminal), 3 or more say fraud, and these are
-- three tenths or more. A label counts from the moment when it was known, never before. A revoked label counts as no fraud,
-- from the time it was revoked; a late label changes the payments after it.
CREATE MATERIALIZED VIEW fraud_terminal_risk WITH (key = 'payment_id') AS
SELECT 'F3' AS rule_id, 1 AS rule_version, place AS pivot, customer_id, payment_id, at AS happened_at,
       labels_28d, 5 AS labels_min, frauds_28d, 3 AS frauds_min, round(frauds_28d::numeric / labels_28d, 4) AS risk, 0.3 AS risk_max,
       round(least(1.0, frauds_28d::numeric / labels_28d), 4) AS score, payment_id AS evidence
FROM (
    SELECT place, customer_id, payment_id, at, is_payment,
           sum(labelled) OVER w AS labels_28d, sum(fraud) OVER w AS frauds_28d
    FROM (
        SELECT coalesce('terminal/' || terminal_id, 'merchant/' || merchant) AS place, customer_id, payment_id, attempted_at AS at,
               true AS is_payment, 0 AS labelled, 0 AS fraud
        FROM pay_attempts
        WHERE terminal_id IS NOT NULL OR merchant IS NOT NULL
        UNION ALL
        SELECT coalesce('terminal/' || coalesce(l.terminal_id, p.terminal_id), 'merchant/' || p.merchant), NULL, NULL, l.known_at, false,
               1, CASE WHEN coalesce(l.is_fraud, true) AND l.event_type NOT LIKE '%revoked%' THEN 1 ELSE 0 END
        FROM fraud_labels l
        LEFT JOIN payment_states p ON p.payment_id = l.payment_id
        WHERE l.terminal_id IS NOT NULL OR p.terminal_id IS NOT NULL OR p.merchant IS NOT NULL
    ) seen
    WINDOW w AS (PARTITION BY place ORDER BY at RANGE BETWEEN INTERVAL '28 days' PRECEDING AND CURRENT ROW)
) judged
WHERE is_payment AND labels_28d >= 5 AND frauds_28d >= 3 AND frauds_28d * 10 >= labels_28d * 3;
