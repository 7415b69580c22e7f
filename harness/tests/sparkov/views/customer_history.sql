-- Each payment beside what its customer did before it.
--
-- Key: payment_id. In: payments. n60: payments within the hour, itself included. n30, sum30, squares30: those of the 30 days
-- before, itself excluded. sum24: what was spent in the 24 hours before. A late payment changes the rows of the 30 days after it.
-- z is made from exact sums, so it does not depend on the order in which payments came.
CREATE VIEW customer_history AS
SELECT payment_id, customer_id, merchant, category, amount, paid_at, n60, n30, sum24,
       sum30 / n30 AS mean30,
       (amount::double precision - sum30::double precision / n30)
           / nullif(sqrt(greatest(squares30::double precision - sum30::double precision * sum30::double precision / n30, 0)
                         / nullif(n30 - 1, 0)), 0) AS z
FROM (
    SELECT payment_id, customer_id, merchant, category, amount, paid_at,
           count(*) OVER (PARTITION BY customer_id ORDER BY paid_at
                          RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW) AS n60,
           count(*) OVER before30 AS n30,
           sum(amount) OVER before30 AS sum30,
           sum(amount * amount) OVER before30 AS squares30,
           coalesce(sum(amount) OVER (PARTITION BY customer_id ORDER BY paid_at
                    RANGE BETWEEN INTERVAL '24 hours' PRECEDING AND INTERVAL '1 microsecond' PRECEDING), 0) AS sum24
    FROM payments
    WINDOW before30 AS (PARTITION BY customer_id ORDER BY paid_at
                        RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 microsecond' PRECEDING)
);
