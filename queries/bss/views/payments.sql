-- Each payment as known now.
--
-- Key: payment_id. In: payment_states. A late event changes nothing where a newer state is known. A failed payment stays, with
-- state 'failed' and the reason; the attempt that follows it is a row of its own.
CREATE MATERIALIZED VIEW payments WITH (key = 'payment_id') AS
SELECT payment_id, customer_id, bill_id, state, amount, currency, method, instrument, attempt, retry_of, error_code, changed_at
FROM payment_states;
