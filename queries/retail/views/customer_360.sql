-- Everything about a customer in one row. gross is NULL where there are credit notes only; country is the last by name where there are several.
CREATE MATERIALIZED VIEW customer_360 AS
SELECT
  customer AS "CustomerID",
  min(time) AS first_seen,
  max(time) AS last_seen,
  count(DISTINCT document) FILTER (WHERE NOT is_credit) AS invoices,
  count(DISTINCT document) FILTER (WHERE is_credit) AS credit_notes,
  sum(amount) AS net,
  sum(amount) FILTER (WHERE NOT is_credit) AS gross,
  max(country) AS country
FROM lines
WHERE customer IS NOT NULL
GROUP BY customer;
