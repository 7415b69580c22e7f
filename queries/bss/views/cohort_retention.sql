-- Of the customers who first paid in a month, how many paid again k months later, and how much.
--
-- Key: cohort_month, months_later, currency. In: payment_steps. A payment counts in the month when it was settled. An earlier first
-- payment that comes late moves its customer to the older cohort everywhere; a chargeback takes its amount off the month of the
-- chargeback. A corrected payment takes the place of the one before; a failed one never counts; one that was
-- settled counts until it is charged back.
CREATE MATERIALIZED VIEW cohort_retention WITH (key = 'cohort_month,months_later,currency') AS
WITH paid AS (
    SELECT customer_id, currency, date_trunc('month', changed_at)::date AS month,
           sum(CASE WHEN state = 'chargedBack' THEN -amount ELSE amount END) AS amount,
           count(*) FILTER (WHERE state = 'settled') AS payments
    FROM payment_steps
    WHERE state IN ('settled', 'chargedBack', 'representmentWon') AND customer_id IS NOT NULL
    GROUP BY customer_id, currency, date_trunc('month', changed_at)::date
), cohorts AS (
    SELECT customer_id, currency, min(month) FILTER (WHERE payments > 0) AS cohort_month FROM paid GROUP BY customer_id, currency
)
SELECT c.cohort_month,
       (extract(year FROM p.month)::int - extract(year FROM c.cohort_month)::int) * 12
       + extract(month FROM p.month)::int - extract(month FROM c.cohort_month)::int AS months_later,
       p.currency, count(*) FILTER (WHERE p.payments > 0) AS customers, sum(p.amount) AS revenue
FROM paid p
JOIN cohorts c ON c.customer_id = p.customer_id AND c.currency = p.currency
WHERE c.cohort_month IS NOT NULL
GROUP BY 1, 2, 3;
