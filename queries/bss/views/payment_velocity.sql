-- Customers who try to pay unusually often: five attempts or more within ten minutes by the clock.
--
-- Key: customer_id, bucket. In: payment_attempts. A late attempt counts in the ten minutes when it happened and may raise a row
-- there after the fact. Attempts are not corrected or cancelled, so a row only grows. A customer pays in one currency.
CREATE MATERIALIZED VIEW payment_velocity WITH (key = 'customer_id,bucket') AS
SELECT customer_id,
       date_bin(INTERVAL '10 minutes', attempted_at) AS bucket,
       count(*) AS attempts,
       sum(amount) AS amount,
       count(DISTINCT instrument) AS instruments
FROM payment_attempts
GROUP BY customer_id, date_bin(INTERVAL '10 minutes', attempted_at)
HAVING count(*) >= 5;
