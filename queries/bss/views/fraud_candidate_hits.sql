-- What F1 would hit with other thresholds (version 2): from 4 attempts per instrument and 6 per customer within 10 minutes.
--
-- Key: payment_id. In: pay_attempts. To try another rule, declare a view with its condition: it is computed over the whole log, then
-- kept. A late, corrected or voided attempt changes it as it does fraud_velocity.
CREATE MATERIALIZED VIEW fraud_candidate_hits WITH (key = 'payment_id') AS
SELECT payment_id, customer_id, attempted_at, by_instrument, by_customer
FROM (
    SELECT payment_id, attempted_at, instrument, customer_id,
           count(*) OVER (PARTITION BY instrument ORDER BY attempted_at
                          RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND CURRENT ROW) AS by_instrument,
           count(*) OVER (PARTITION BY customer_id ORDER BY attempted_at
                          RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND CURRENT ROW) AS by_customer
    FROM pay_attempts
) counted
WHERE (instrument IS NOT NULL AND by_instrument >= 4) OR (customer_id IS NOT NULL AND by_customer >= 6);
