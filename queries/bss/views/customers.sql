-- Each customer as known now, with the addresses that hold now and, if it was merged, who goes on for it.
--
-- Key: customer_id. In: customer_states, addresses, the clock. A late event changes nothing where a newer state is known; a
-- correction takes its place; a suspended or closed customer stays, with that status; an erased one keeps its id and loses what
-- its last event leaves out. An address appears and goes when its time comes, without an event.
CREATE MATERIALIZED VIEW customers WITH (key = 'customer_id') AS
SELECT c.customer_id, c.name, c.party_type, c.email, c.segment, c.risk_class, c.country, c.status, c.created_at, c.changed_at,
       c.phone, c.language, coalesce(r.goes_on_as, c.customer_id) AS goes_on_as,
       a.billing_address, a.installation_address, a.shipping_address
FROM customer_states c
LEFT JOIN customer_roots r ON r.customer_id = c.customer_id
LEFT JOIN (
    SELECT customer_id,
           max(line) FILTER (WHERE role = 'billing') AS billing_address,
           max(line) FILTER (WHERE role = 'installation') AS installation_address,
           max(line) FILTER (WHERE role = 'shipping') AS shipping_address
    FROM current_addresses
    GROUP BY customer_id
) a ON a.customer_id = c.customer_id;
