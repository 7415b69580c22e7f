-- How much each subscription used per day and kind: sum, count, greatest, different other ends, latest.
--
-- Key: day, account_id, subscription_id, usage_type, units. In: usage_records, usage_guided, billing_accounts. Days are those of
-- the account's time zone. Late, corrected and voided records change the day to which the usage belongs; what is unmatched is in
-- no meter until it is matched.
CREATE MATERIALIZED VIEW usage_meters WITH (key = 'day,account_id,subscription_id,usage_type,units') AS
SELECT ((g.used_at AT TIME ZONE 'UTC') AT TIME ZONE coalesce(a.time_zone, 'UTC'))::date AS day, g.account_id, g.subscription_id,
       g.usage_type, g.units, sum(g.quantity) AS quantity, count(*) AS records, max(g.quantity) AS greatest_quantity,
       arg_max(g.quantity, g.used_at) AS latest_quantity, max(g.used_at) AS latest_at
FROM usage_guided g
LEFT JOIN billing_accounts a ON a.account_id = g.account_id
WHERE g.status = 'guided'
GROUP BY 1, g.account_id, g.subscription_id, g.usage_type, g.units;
