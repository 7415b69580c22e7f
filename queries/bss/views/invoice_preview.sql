-- What the bill of each account and period comes to by what is known now: recurring, usage, one-off charges, tax.
--
-- Key: account_id, period_start, currency. In: recurring_charges, usage_charges, applied_rates, billing_accounts. The same
-- function for the period that runs and for those that have ended, so the preview at the end of a period is its bill. What
-- changes after that (late usage, corrections) is in carried_forward. Tax is the account's rate of the sum, rounded once; one-off
-- charges count in the period of their date. Voided usage and superseded subscriptions leave their period.
CREATE MATERIALIZED VIEW invoice_preview WITH (key = 'account_id,period_start,currency') AS
SELECT account_id, period_start, currency, recurring, usage, one_off, recurring + usage + one_off AS net,
       round((recurring + usage + one_off) * tax_rate, 2) AS tax,
       recurring + usage + one_off + round((recurring + usage + one_off) * tax_rate, 2) AS gross
FROM (
    SELECT f.account_id, f.period_start, f.currency, sum(f.recurring) AS recurring, sum(f.usage) AS usage,
           sum(f.one_off) AS one_off, max(CASE WHEN b.tax_exempt THEN 0 ELSE coalesce(b.tax_rate, 0) END) AS tax_rate
    FROM (
        SELECT account_id, period_start, currency, amount AS recurring, 0.00 AS usage, 0.00 AS one_off FROM recurring_charges
        UNION ALL
        SELECT account_id, period_start, currency, 0, amount, 0 FROM usage_charges
        UNION ALL
        SELECT r.account_id,
               (date_trunc('month', r.charged_on::timestamp - (coalesce(a.bill_cycle_day, 1) - 1) * INTERVAL '1 day')
                + (coalesce(a.bill_cycle_day, 1) - 1) * INTERVAL '1 day')::date,
               r.currency, 0, 0, r.amount
        FROM applied_rates r
        JOIN billing_accounts a ON a.account_id = r.account_id
    ) f
    LEFT JOIN billing_accounts b ON b.account_id = f.account_id
    WHERE f.account_id IS NOT NULL
    GROUP BY f.account_id, f.period_start, f.currency
) t;
