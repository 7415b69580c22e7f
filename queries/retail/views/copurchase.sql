-- Products that stand on one invoice at least fifty times, and how near to each other that makes them.
CREATE MATERIALIZED VIEW copurchase AS
WITH basket AS (
  SELECT DISTINCT document, product
  FROM lines
  WHERE customer IS NOT NULL AND NOT is_credit AND product ~ '^[0-9]{5}[A-Za-z]?$'
),
sold AS (
  SELECT product, count(*) AS n FROM basket GROUP BY product
),
pair AS (
  SELECT x.product AS a, y.product AS b, count(*) AS both_n
  FROM basket x JOIN basket y ON x.document = y.document AND x.product < y.product
  GROUP BY x.product, y.product
  HAVING count(*) >= 50
)
SELECT
  pair.a,
  pair.b,
  both_n,
  round(both_n / sqrt(CAST(na.n * nb.n AS DOUBLE)), 6) AS cosine,
  round(both_n / CAST(na.n + nb.n - both_n AS DOUBLE), 6) AS jaccard
FROM pair
JOIN sold na ON na.product = pair.a
JOIN sold nb ON nb.product = pair.b;
