-- The ten customers who were billed most, by currency, within the last 30 and 365 days; ties go to the smaller customer_id.
--
-- Key: days, currency, place. In: bill_states, credit_notes, customer_roots, the clock. A merged customer counts under the one
-- who goes on. Credit notes count against it on the day when they were issued. When one of the ten falls out (a voided bill, a
-- day that has passed), the eleventh moves up. A late or corrected bill counts on the day that it bears.
CREATE MATERIALIZED VIEW top_customers_by_window WITH (key = 'days,currency,place') AS
WITH movements AS (
    SELECT customer_id, currency, billed_on AS day, net AS amount FROM bill_states WHERE state <> 'voided'
    UNION ALL
    SELECT customer_id, currency, issued_on, -amount FROM credit_notes WHERE coalesce(state, '') <> 'voided'
), daily AS (
    SELECT coalesce(r.goes_on_as, m.customer_id) AS customer_id, m.currency, m.day, sum(m.amount) AS amount
    FROM movements m
    LEFT JOIN customer_roots r ON r.customer_id = m.customer_id
    WHERE m.customer_id IS NOT NULL
    GROUP BY coalesce(r.goes_on_as, m.customer_id), m.currency, m.day
), summed AS (
    SELECT 30 AS days, customer_id, currency, sum(amount) AS amount
    FROM daily WHERE day > now() - INTERVAL '30 days' GROUP BY customer_id, currency
    UNION ALL
    SELECT 365, customer_id, currency, sum(amount)
    FROM daily WHERE day > now() - INTERVAL '365 days' GROUP BY customer_id, currency
)
SELECT days, currency, row_number() OVER (PARTITION BY days, currency ORDER BY amount DESC, customer_id) AS place, customer_id, amount
FROM summed
QUALIFY row_number() OVER (PARTITION BY days, currency ORDER BY amount DESC, customer_id) <= 10;
