-- What was billed per day, country of the customer and currency, without tax.
--
-- Key: day, country, currency. In: bill_lines, customers. A late bill counts on the day that it bears; a corrected bill takes the
-- place of the one before, on its day; a voided bill counts for nothing, from its own day on back. A bill whose customer is
-- not known yet stands under 'unknown' and moves when the customer arrives; a customer who moves takes along all bills.
CREATE MATERIALIZED VIEW revenue_daily WITH (key = 'day,country,currency') AS
SELECT l.billed_on AS day,
       coalesce(c.country, 'unknown') AS country,
       l.currency AS currency,
       count(DISTINCT l.bill_id) AS bills,
       sum(l.amount) AS revenue
FROM bill_lines l
LEFT JOIN customers c ON c.customer_id = l.customer_id
WHERE l.bill_state <> 'voided'
GROUP BY l.billed_on, coalesce(c.country, 'unknown'), l.currency;
