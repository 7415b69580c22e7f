-- How many payments were tried on each day, by method, currency and what became of them.
--
-- Key: day, method, currency, state. In: payment_attempts, payment_states. The day is that of the attempt; when the payment's
-- state changes it moves from one row to another. A late attempt counts on its own day, and once, under however many ids it
-- was sent. A voided or canceled payment stands under that state.
CREATE MATERIALIZED VIEW payment_status_daily WITH (key = 'day,method,currency,state') AS
SELECT a.attempted_at::date AS day, coalesce(p.method, 'unknown') AS method, coalesce(p.currency, 'unknown') AS currency,
       coalesce(p.state, 'unknown') AS state, count(*) AS payments, sum(p.amount) AS amount, count(DISTINCT p.customer_id) AS customers
FROM (SELECT payment_id, min(attempted_at) AS attempted_at FROM payment_attempts GROUP BY payment_id) a
JOIN payment_states p ON p.payment_id = a.payment_id
GROUP BY a.attempted_at::date, coalesce(p.method, 'unknown'), coalesce(p.currency, 'unknown'), coalesce(p.state, 'unknown');
