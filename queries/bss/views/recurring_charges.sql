-- What each subscription costs per billing period, in advance and by days: the recurring amount times the days it was active.
--
-- Key: account_id, subscription_id, period_start. In: subscription_intervals, account_periods. Days are those of the account's time
-- zone; a day belongs to what was active when it began. The monthly price times days active by days of the period, rounded once per
-- subscription and period. A back-dated change or termination changes the periods that it touches. A superseded version is
-- charged for no day.
CREATE MATERIALIZED VIEW recurring_charges WITH (key = 'account_id,subscription_id,period_start') AS
SELECT account_id, customer_id, subscription_id, period_start, period_end, currency, sum(days) AS days,
       round(sum(price * days) / (period_end - period_start), 2) AS amount
FROM (
    SELECT p.account_id, s.customer_id, s.subscription_id, p.period_start, p.period_end, p.currency,
           coalesce(s.recurring_amount, 0) * coalesce(s.quantity, 1) * (1 - coalesce(s.discount, 0)) / s.months AS price,
           least(p.period_end, coalesce(((s.until_at AT TIME ZONE 'UTC') AT TIME ZONE p.time_zone)::date, p.period_end))
           - greatest(p.period_start, ((s.from_at AT TIME ZONE 'UTC') AT TIME ZONE p.time_zone)::date) AS days
    FROM account_periods p
    JOIN subscription_intervals s ON s.account_id = p.account_id
    WHERE s.state = 'active' AND NOT s.is_trial
) c
WHERE days > 0
GROUP BY account_id, customer_id, subscription_id, period_start, period_end, currency;
