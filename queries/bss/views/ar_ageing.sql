-- What each account owes, by how long it is overdue: not due, 1-30, 31-60, 61-90 and more than 90 days; and what it has left over.
--
-- Key: account_id, currency. In: invoice_balances, account_credits, the clock. Days are those of the account's time zone; bills move
-- from one bucket to the next at midnight there, without any event. Payments, credits, voids and chargebacks change the bucket
-- in which their bill stands now. unapplied is negative: money and credit notes that stand against no bill. The buckets and
-- overpaid add up to the remaining of all invoices; overpaid is the negative rest of those that were paid too much. What comes
-- late or is corrected counts as if it had been there in time.
CREATE MATERIALIZED VIEW ar_ageing WITH (key = 'account_id,currency') AS
SELECT account_id, currency, sum(not_due) AS not_due, sum(days_1_30) AS days_1_30, sum(days_31_60) AS days_31_60,
       sum(days_61_90) AS days_61_90, sum(days_90_more) AS days_90_more, sum(overpaid) AS overpaid, sum(unapplied) AS unapplied
FROM (
    SELECT account_id, currency, remaining AS not_due, 0.00 AS days_1_30, 0.00 AS days_31_60, 0.00 AS days_61_90,
           0.00 AS days_90_more, 0.00 AS overpaid, 0.00 AS unapplied
    FROM invoice_balances WHERE remaining > 0 AND due_at > now()
    UNION ALL
    SELECT account_id, currency, 0, remaining, 0, 0, 0, 0, 0
    FROM invoice_balances WHERE remaining > 0 AND due_at <= now() AND due_30_at > now()
    UNION ALL
    SELECT account_id, currency, 0, 0, remaining, 0, 0, 0, 0
    FROM invoice_balances WHERE remaining > 0 AND due_30_at <= now() AND due_60_at > now()
    UNION ALL
    SELECT account_id, currency, 0, 0, 0, remaining, 0, 0, 0
    FROM invoice_balances WHERE remaining > 0 AND due_60_at <= now() AND due_90_at > now()
    UNION ALL
    SELECT account_id, currency, 0, 0, 0, 0, remaining, 0, 0
    FROM invoice_balances WHERE remaining > 0 AND due_90_at <= now()
    UNION ALL
    SELECT account_id, currency, 0, 0, 0, 0, 0, remaining, 0 FROM invoice_balances WHERE remaining < 0
    UNION ALL
    SELECT account_id, currency, 0, 0, 0, 0, 0, 0, -(unapplied + credits) FROM account_credits
) f
GROUP BY account_id, currency;
