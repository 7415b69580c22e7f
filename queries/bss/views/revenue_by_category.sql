-- Revenue without tax by category as billed, and by the category that the offering has in the catalogue now.
--
-- Key: month, variant, category, currency. In: bill_lines, offering_states. An offering that is put into another category moves
-- its history in the variant 'current' only. Voided bills count for nothing; corrected ones take the place of those before. A
-- late bill counts in the month that it bears.
CREATE MATERIALIZED VIEW revenue_by_category WITH (key = 'month,variant,category,currency') AS
SELECT date_trunc('month', l.billed_on::timestamp)::date AS month, 'billed' AS variant, coalesce(l.category, 'none') AS category,
       l.currency, sum(l.amount) AS revenue
FROM bill_lines l
WHERE l.bill_state <> 'voided'
GROUP BY date_trunc('month', l.billed_on::timestamp)::date, coalesce(l.category, 'none'), l.currency
UNION ALL
SELECT date_trunc('month', l.billed_on::timestamp)::date, 'current', coalesce(o.category, l.category, 'none'), l.currency,
       sum(l.amount)
FROM bill_lines l
LEFT JOIN offering_states o ON o.offering_id = l.offering_id
WHERE l.bill_state <> 'voided'
GROUP BY date_trunc('month', l.billed_on::timestamp)::date, coalesce(o.category, l.category, 'none'), l.currency;
