-- Revenue without tax by the month in which it was earned: a line is spread evenly over the days it covers, and what lies beyond
-- the month in which it was billed is deferred.
--
-- Key: month, category, currency. In: bill_lines, credit_note_lines, subscription_intervals. Up to the end of each month the part
-- of the line is rounded to the cent once, so the months of a line add up to it. Where the subscription of the line ends before
-- its period does, what is left is released in the month in which it ends; a credit note for that rest takes it back on its own
-- date. A line without a period counts on its bill's date. A voided bill is earned never; a corrected one is spread anew; an end
-- that is back-dated, or taken back, moves what it released.
CREATE MATERIALIZED VIEW revenue_recognition WITH (key = 'month,category,currency') AS
WITH ends AS (
    SELECT subscription_id, from_at::date AS ended_on
    FROM subscription_intervals
    WHERE state IN ('terminated', 'cancelled', 'aborted') AND until_at IS NULL
), spread AS (
    SELECT coalesce(l.category, 'none') AS category, l.currency, l.amount, l.covers_from AS from_on, l.covers_until AS until_on,
           -- The first day on which all of it is earned.
           CASE WHEN e.ended_on < l.covers_until THEN greatest(e.ended_on, l.covers_from) ELSE l.covers_until END AS done_on
    FROM bill_lines l
    LEFT JOIN ends e ON e.subscription_id = l.subscription_id
    WHERE l.bill_state <> 'voided' AND l.covers_from < l.covers_until
)
SELECT month, category, currency, sum(recognised) AS recognised, sum(billed) AS billed, sum(billed) - sum(recognised) AS deferred,
       sum(released) AS released
FROM (
    SELECT m::date AS month, category, currency,
           CASE WHEN (m + INTERVAL '1 month')::date > done_on THEN amount
                ELSE round(amount * ((m + INTERVAL '1 month')::date - from_on) / (until_on - from_on), 2) END
           - round(amount * greatest(m::date - from_on, 0) / (until_on - from_on), 2) AS recognised,
           0.00 AS billed,
           CASE WHEN done_on < until_on AND (m + INTERVAL '1 month')::date > done_on
                THEN amount - round(amount * (done_on - from_on) / (until_on - from_on), 2) ELSE 0 END AS released
    FROM spread
    CROSS JOIN LATERAL generate_series(
        date_trunc('month', from_on::timestamp), least(done_on, until_on - 1)::timestamp, INTERVAL '1 month'
    ) AS g (m)
    UNION ALL
    SELECT date_trunc('month', billed_on::timestamp)::date, coalesce(category, 'none'), currency,
           CASE WHEN covers_from < covers_until THEN 0 ELSE amount END, amount, 0
    FROM bill_lines
    WHERE bill_state <> 'voided'
    UNION ALL
    SELECT date_trunc('month', issued_on::timestamp)::date, coalesce(category, 'none'), currency, -amount, -amount, 0
    FROM credit_note_lines
    WHERE coalesce(state, 'issued') <> 'voided'
) r
GROUP BY month, category, currency;
