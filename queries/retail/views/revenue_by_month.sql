-- What each month brought in: gross, taken back by credit notes, and net.
CREATE MATERIALIZED VIEW revenue_by_month WITH (key = 'month') AS
SELECT
  to_char(month, 'YYYY-MM') AS month,
  count(*) AS lines,
  count(DISTINCT document) FILTER (WHERE NOT is_credit) AS invoices,
  count(DISTINCT document) FILTER (WHERE is_credit) AS credit_notes,
  sum(amount) FILTER (WHERE NOT is_credit) AS gross,
  sum(amount) FILTER (WHERE is_credit) AS cancelled,
  sum(amount) AS net
FROM (SELECT date_trunc('month', time) AS month, document, is_credit, amount FROM lines) AS dated
GROUP BY month;
