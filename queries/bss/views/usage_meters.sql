-- How much each subscription used per hour, day and month, and kind: sum, count, greatest, different other ends, latest.
--
-- Key: grain, starts_at, account_id, subscription_id, usage_type, units. In: usage_guided, billing_accounts. grain is hour, day or
-- month; starts_at is when it begins by the clock of the account's time zone, day that day. others counts the different ends that were
-- called. Late, corrected and voided records change the windows to which the usage belongs; what is unmatched is in no meter until it
-- is matched. The minutes of the last day are in usage_meters_minutely.
CREATE MATERIALIZED VIEW usage_meters WITH (key = 'grain,starts_at,account_id,subscription_id,usage_type,units') AS
SELECT u.grain, date_trunc(u.grain, u.local_at) AS starts_at, date_trunc(u.grain, u.local_at)::date AS day,
       u.account_id, u.subscription_id, u.usage_type, u.units, sum(u.quantity) AS quantity, count(*) AS records,
       max(u.quantity) AS greatest_quantity, count(DISTINCT u.b_party) AS others,
       arg_max(u.quantity, u.used_at) AS latest_quantity, max(u.used_at) AS latest_at
FROM (
    SELECT w.grain, (g.used_at AT TIME ZONE 'UTC') AT TIME ZONE coalesce(a.time_zone, 'UTC') AS local_at,
           g.account_id, g.subscription_id, g.usage_type, g.units, g.quantity, g.b_party, g.used_at
    FROM usage_guided g
    LEFT JOIN billing_accounts a ON a.account_id = g.account_id
    CROSS JOIN unnest(ARRAY['hour', 'day', 'month']) w (grain)
    WHERE g.status = 'guided'
) u
GROUP BY u.grain, date_trunc(u.grain, u.local_at), u.account_id, u.subscription_id, u.usage_type, u.units;
