-- Of the customers whose first invoice was in a month, how many had one so many months later.
CREATE MATERIALIZED VIEW cohort_retention WITH (key = 'cohort,month_no') AS
WITH active AS (
  SELECT DISTINCT customer, date_trunc('month', time) AS month
  FROM lines
  WHERE customer IS NOT NULL AND NOT is_credit
),
first AS (
  SELECT customer, min(month) AS cohort FROM active GROUP BY customer
),
counted AS (
  SELECT first.cohort, active.month, count(*) AS customers
  FROM active JOIN first ON active.customer = first.customer
  GROUP BY first.cohort, active.month
)
SELECT
  to_char(cohort, 'YYYY-MM') AS cohort,
  12 * (date_part('year', month) - date_part('year', cohort)) + date_part('month', month) - date_part('month', cohort) AS month_no,
  customers
FROM counted;
