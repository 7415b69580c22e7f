-- The billing periods of each account that have begun, and whether they have ended.
--
-- In: billing_accounts, subscription_intervals, the clock. A period begins on the account's cycle day at midnight in its time
-- zone; the first is the one in which the account's first subscription began. Dates are those of the account. A row for each
-- account and period. A late or back-dated first subscription adds the periods before it; a corrected cycle day or time zone
-- cuts all periods anew; a subscription that never was takes its periods along.
CREATE VIEW account_periods AS
SELECT a.account_id, a.customer_id, a.currency, a.time_zone, a.tax_rate, p.starts::date AS period_start,
       (p.starts + INTERVAL '1 month')::date AS period_end,
       p.starts AT TIME ZONE a.time_zone AS starts_at, (p.starts + INTERVAL '1 month') AT TIME ZONE a.time_zone AS ends_at
FROM (
    SELECT b.account_id, b.customer_id, b.currency, coalesce(b.time_zone, 'UTC') AS time_zone,
           CASE WHEN b.tax_exempt THEN 0 ELSE coalesce(b.tax_rate, 0) END AS tax_rate,
           (coalesce(b.bill_cycle_day, 1) - 1) * INTERVAL '1 day' AS cycle, f.first_at
    FROM billing_accounts b
    JOIN (
        SELECT account_id, min(from_at) AS first_at FROM subscription_intervals WHERE state = 'active' GROUP BY account_id
    ) f ON f.account_id = b.account_id
) a
CROSS JOIN LATERAL generate_series(
    date_trunc('month', (a.first_at AT TIME ZONE 'UTC') AT TIME ZONE a.time_zone - a.cycle) + a.cycle,
    date_trunc('month', now() AT TIME ZONE 'UTC') + INTERVAL '1 month',
    INTERVAL '1 month'
) AS p (starts)
WHERE p.starts AT TIME ZONE a.time_zone <= now();
