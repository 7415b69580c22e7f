-- The connected part of the graph of fraud_links that each customer is in, named by its smallest customer.
--
-- Key: customer_id. In: fraud_links. A new tie may join two parts, one that goes may split one; only the parts that it touches
-- are worked through again. Every customer with a shared tie is in exactly one part, whatever the order of events. Late and
-- corrected ties count as those of fraud_links do.
CREATE MATERIALIZED VIEW fraud_components WITH (key = 'customer_id') AS
WITH MUTUALLY RECURSIVE
    by_link (link TEXT, ring TEXT) AS (
        SELECT l.link, min(c.ring) FROM by_customer c JOIN fraud_links l ON l.customer_id = c.customer_id GROUP BY l.link),
    by_customer (customer_id TEXT, ring TEXT) AS (
        SELECT customer_id, min(ring) FROM (
            SELECT customer_id, customer_id AS ring FROM fraud_links
            UNION ALL
            SELECT l.customer_id, b.ring FROM by_link b JOIN fraud_links l ON l.link = b.link
        ) known GROUP BY customer_id)
SELECT customer_id, ring FROM by_customer;
