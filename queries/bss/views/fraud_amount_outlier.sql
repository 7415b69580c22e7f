-- F2: payments far above what their customer usually pays.
--
-- Key: payment_id. In: pay_attempts, by customer and currency. A hit when ten payments or more were accepted in the 30 days
-- before, itself not counted, the amount is more than 4 standard deviations above their mean, and more than 3 times the mean.
-- z is made from exact sums. A late or corrected payment changes the usual of the 30 days after it; one that fails, is
-- cancelled or voided is taken out of it.
CREATE MATERIALIZED VIEW fraud_amount_outlier WITH (key = 'payment_id') AS
SELECT 'F2' AS rule_id, 1 AS rule_version, 'customer/' || customer_id AS pivot, customer_id, payment_id, attempted_at AS happened_at,
       amount, currency, payments_30d, 10 AS payments_min, round(mean, 2) AS mean_30d, round(z::numeric, 2) AS z, 4 AS z_max,
       round(amount / mean, 2) AS ratio, 3 AS ratio_max,
       round(least(1.0, 0.3 + z / 40)::numeric, 4) AS score, payment_id AS evidence
FROM (
    SELECT customer_id, payment_id, attempted_at, amount, currency, payments_30d, total / payments_30d AS mean,
           (amount::double precision - total::double precision / payments_30d)
               / nullif(sqrt(greatest(squares::double precision - total::double precision * total::double precision / payments_30d, 0)
                             / nullif(payments_30d - 1, 0)), 0) AS z
    FROM (
        SELECT customer_id, payment_id, attempted_at, amount, currency,
               count(*) OVER w AS payments_30d, sum(amount) OVER w AS total, sum(amount * amount) OVER w AS squares
        FROM pay_attempts
        WHERE accepted AND customer_id IS NOT NULL
        WINDOW w AS (PARTITION BY customer_id, currency ORDER BY attempted_at
                     RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 microsecond' PRECEDING)
    ) sums
) judged
WHERE payments_30d >= 10 AND z > 4 AND amount > 3 * mean;
