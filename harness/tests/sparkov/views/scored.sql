-- Each payment with the rules that it hits, and what they say together.
--
-- Key: payment_id. In: customer_history, merchant_risk. All thresholds and weights were chosen on January to April 2024 only.
-- A weight is the precision of its rule in those months, rounded; score = 1 - product of (1 - weight) over the rules that hit.
--
-- | rule | hits when |
-- |---|---|
-- | F1 | five payments or more of the customer within 60 minutes |
-- | F2 | z > 4 and amount > 3 x mean over 30 days, ten payments or more before |
-- | F3 | a tenth or more of at least 20 labels known of the merchant are fraud |
-- | burst | two payments or more within 24 hours with z > 2 and amount > 200, this one among them |
-- | spree | 24 hours' spending > 15 x mean, this payment > 2 x mean |
-- | night | amount > 250 between 22:00 and 04:00 |
CREATE MATERIALIZED VIEW scored WITH (key = 'payment_id') AS
SELECT payment_id, customer_id, amount, paid_at, f1, f2, f3, burst, spree, night,
       1 - (CASE WHEN f1 THEN 0.5 ELSE 1 END) * (CASE WHEN f2 THEN 0.7 ELSE 1 END) * (CASE WHEN f3 THEN 0.99 ELSE 1 END)
         * (CASE WHEN burst THEN 0.2 ELSE 1 END) * (CASE WHEN spree THEN 0.35 ELSE 1 END)
         * (CASE WHEN night THEN 0.45 ELSE 1 END) AS score
FROM (
    SELECT h.payment_id, h.customer_id, h.amount, h.paid_at,
           n60 >= 5 AS f1,
           n30 >= 10 AND coalesce(z, 0) > 4 AND amount > 3 * mean30 AS f2,
           known >= 20 AND frauds * 10 >= known AS f3,
           amount > 200 AND big AND bigs >= 2 AS burst,
           n30 >= 10 AND sum24 + amount > 15 * mean30 AND amount > 2 * mean30 AS spree,
           amount > 250 AND (extract(hour FROM paid_at) >= 22 OR extract(hour FROM paid_at) < 4) AS night
    FROM (
        SELECT *, coalesce(z > 2, false) AS big,
               sum(CASE WHEN z > 2 AND amount > 200 THEN 1 ELSE 0 END) OVER (PARTITION BY customer_id ORDER BY paid_at
                   RANGE BETWEEN INTERVAL '24 hours' PRECEDING AND CURRENT ROW) AS bigs
        FROM customer_history
    ) h
    JOIN merchant_risk m ON m.payment_id = h.payment_id
) r;
