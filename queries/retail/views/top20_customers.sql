-- The twenty customers who brought in most.
CREATE MATERIALIZED VIEW top20_customers AS
SELECT customer AS "CustomerID", sum(amount) AS net
FROM lines
WHERE customer IS NOT NULL
GROUP BY customer
ORDER BY net DESC, "CustomerID"
LIMIT 20;
