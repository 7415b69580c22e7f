-- Each customer as known now.
--
-- Key: customer_id. In: customer_states. A late event changes nothing where a newer state is known; a correction takes its place;
-- a suspended or closed customer stays, with that status.
CREATE MATERIALIZED VIEW customers WITH (key = 'customer_id') AS
SELECT customer_id, name, party_type, email, segment, risk_class, country, status, created_at, changed_at
FROM customer_states;
