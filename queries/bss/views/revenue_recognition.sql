-- Revenue without tax by the month in which it was earned: a line is spread evenly over the days it covers, and what lies beyond
-- the month in which it was billed is deferred.
--
-- Key: month, category, currency. In: bill_lines, credit_note_lines. Up to the end of each month the part of the line is rounded to
-- the cent once, so the months of a line add up to it. A line without a period counts on its bill's date. A voided bill is earned
-- never; a corrected one is spread anew; a credit note for the rest of a period takes it back on its own date.
CREATE MATERIALIZED VIEW revenue_recognition WITH (key = 'month,category,currency') AS
SELECT month, category, currency, sum(recognised) AS recognised, sum(billed) AS billed, sum(billed) - sum(recognised) AS deferred
FROM (
    SELECT m::date AS month, category, currency,
           round(amount * (least((m + INTERVAL '1 month')::date, until_on) - from_on) / (until_on - from_on), 2)
           - round(amount * greatest(m::date - from_on, 0) / (until_on - from_on), 2) AS recognised,
           0.00 AS billed
    FROM (
        SELECT coalesce(category, 'none') AS category, currency, amount, covers_from AS from_on, covers_until AS until_on
        FROM bill_lines
        WHERE bill_state <> 'voided' AND covers_from < covers_until
    ) l
    CROSS JOIN LATERAL generate_series(
        date_trunc('month', l.from_on::timestamp), (l.until_on - 1)::timestamp, INTERVAL '1 month'
    ) AS g (m)
    UNION ALL
    SELECT date_trunc('month', billed_on::timestamp)::date, coalesce(category, 'none'), currency,
           CASE WHEN covers_from < covers_until THEN 0 ELSE amount END, amount
    FROM bill_lines
    WHERE bill_state <> 'voided'
    UNION ALL
    SELECT date_trunc('month', issued_on::timestamp)::date, coalesce(category, 'none'), currency, -amount, -amount
    FROM credit_note_lines
    WHERE coalesce(state, 'issued') <> 'voided'
) r
GROUP BY month, category, currency;
