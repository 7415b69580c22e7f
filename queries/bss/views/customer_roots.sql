-- Who goes on for a customer that was merged into another, which may itself have been merged.
--
-- Key: customer_id. In: customer_states. Only merged customers are here. A merge that is stated late or taken back by the next
-- version moves all that led through it. Customers that are merged in a circle go on as themselves and are not here.
CREATE MATERIALIZED VIEW customer_roots WITH (key = 'customer_id') AS
WITH RECURSIVE up (customer_id, goes_on_as) AS (
    SELECT customer_id, merged_into FROM customer_states WHERE merged_into IS NOT NULL
    UNION
    SELECT u.customer_id, c.merged_into
    FROM up u
    JOIN customer_states c ON c.customer_id = u.goes_on_as
    WHERE c.merged_into IS NOT NULL
)
SELECT u.customer_id, u.goes_on_as
FROM up u
LEFT JOIN customer_states c ON c.customer_id = u.goes_on_as
WHERE c.merged_into IS NULL;
