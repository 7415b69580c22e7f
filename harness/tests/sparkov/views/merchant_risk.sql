-- F3: for each payment, what was known of its merchant when it was made: labels that became known in the 28 days up to it.
--
-- Key: payment_id. In: payments, labels. A label counts from the moment when it is known, seven days after its payment, never
-- from the payment's own time.
CREATE VIEW merchant_risk AS
SELECT payment_id, known, frauds
FROM (
    SELECT payment_id, is_payment,
           sum(labelled) OVER recent AS known,
           sum(fraud) OVER recent AS frauds
    FROM (
        SELECT payment_id, merchant, paid_at AS at, true AS is_payment, 0 AS labelled, 0 AS fraud FROM payments
        UNION ALL
        SELECT l.payment_id, p.merchant, l.known_at, false, 1, CASE WHEN l.is_fraud THEN 1 ELSE 0 END
        FROM labels l JOIN payments p ON p.payment_id = l.payment_id
    ) e
    WINDOW recent AS (PARTITION BY merchant ORDER BY at RANGE BETWEEN INTERVAL '28 days' PRECEDING AND CURRENT ROW)
) f
WHERE is_payment;
