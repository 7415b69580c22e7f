-- F2: payments far above what their customer usually pays.
--
-- Key: payment_id. In: pay_attempts, by customer and currency. Judged when ten payments or more were accepted in the 30 days before,
-- itself not counted, and the amount is more than 3 times their mean. A hit when it is then more than 4 standard deviations above
-- the mean (z), or, by the variant that earlier outliers do not hide from, more than 8 times 1.4826 median deviations above the
-- median (robust_z); variant says which. z is made from exact sums; where all payments are alike there is none. A late or corrected
-- payment changes the usual of the 30 days after it; one that fails, is cancelled or voided is taken out of it.
CREATE MATERIALIZED VIEW fraud_amount_outlier WITH (key = 'payment_id') AS
WITH judged AS (
    SELECT customer_id, payment_id, attempted_at, amount, currency, payments_30d, total / payments_30d AS mean, amounts,
           (amount::double precision - total::double precision / payments_30d)
               / nullif(sqrt(greatest(squares::double precision - total::double precision * total::double precision / payments_30d, 0)
                             / nullif(payments_30d - 1, 0)), 0) AS z
    FROM (
        SELECT customer_id, payment_id, attempted_at, amount, currency,
               count(*) OVER w AS payments_30d, sum(amount) OVER w AS total, sum(amount * amount) OVER w AS squares,
               array_agg(amount) OVER w AS amounts
        FROM pay_attempts
        WHERE accepted AND customer_id IS NOT NULL
        WINDOW w AS (PARTITION BY customer_id, currency ORDER BY attempted_at
                     RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 microsecond' PRECEDING)
    ) sums
    WHERE payments_30d >= 10 AND amount * payments_30d > 3 * total
), medians AS (
    SELECT payment_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY usual) AS median
    FROM (SELECT payment_id, unnest(amounts)::double precision AS usual FROM judged) u
    GROUP BY payment_id
), deviations AS (
    SELECT u.payment_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(u.usual - m.median)) AS deviation
    FROM (SELECT payment_id, unnest(amounts)::double precision AS usual FROM judged) u
    JOIN medians m ON m.payment_id = u.payment_id
    GROUP BY u.payment_id
), robust AS (
    SELECT j.customer_id, j.payment_id, j.attempted_at, j.amount, j.currency, j.payments_30d, j.mean, j.z, m.median, d.deviation,
           (j.amount::double precision - m.median) / nullif(1.4826 * d.deviation, 0) AS robust_z
    FROM judged j
    JOIN medians m ON m.payment_id = j.payment_id
    JOIN deviations d ON d.payment_id = j.payment_id
)
SELECT 'F2' AS rule_id, 1 AS rule_version, 'customer/' || customer_id AS pivot, customer_id, payment_id, attempted_at AS happened_at,
       amount, currency, payments_30d, 10 AS payments_min, round(mean, 2) AS mean_30d, round(z::numeric, 2) AS z, 4 AS z_max,
       round(amount / mean, 2) AS ratio, 3 AS ratio_max,
       round(least(1.0, 0.3 + greatest(coalesce(z, 0), coalesce(robust_z, 0) / 2) / 40)::numeric, 4) AS score, payment_id AS evidence,
       round(median::numeric, 2) AS median_30d, round(deviation::numeric, 2) AS deviation_30d, round(robust_z::numeric, 2) AS robust_z,
       8 AS robust_z_max, CASE WHEN z > 4 AND robust_z > 8 THEN 'both' WHEN z > 4 THEN 'mean' ELSE 'median' END AS variant
FROM robust
WHERE z > 4 OR robust_z > 8;
