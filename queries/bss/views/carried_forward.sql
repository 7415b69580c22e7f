-- What was billed for each account and period against what it comes to now: the difference goes on the next bill.
--
-- Key: account_id, period_start, currency. In: invoice_preview, bill_states, bill_lines. Only periods that were billed (a bill of
-- theirs is known and not voided). carry = what it comes to now - what was billed, without tax, for recurring and usage lines; 0
-- where preview and bill agree. Late, corrected and voided usage changes it; a corrected bill changes it back.
CREATE MATERIALIZED VIEW carried_forward WITH (key = 'account_id,period_start,currency') AS
SELECT b.account_id, b.period_start, b.currency, b.bills, coalesce(p.net, 0) AS due_now, b.billed,
       coalesce(p.net, 0) - b.billed AS carry
FROM (
    SELECT account_id, period_start, currency, count(*) AS bills, sum(net) AS billed
    FROM bill_states
    WHERE period_start IS NOT NULL AND state <> 'voided' AND account_id IS NOT NULL
    GROUP BY account_id, period_start, currency
) b
LEFT JOIN invoice_preview p
       ON p.account_id = b.account_id AND p.period_start = b.period_start AND p.currency = b.currency;
