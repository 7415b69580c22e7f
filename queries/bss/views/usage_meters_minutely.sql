-- How much each subscription used in each minute, by kind, for the last 24 hours by the clock.
--
-- Key: minute, account_id, subscription_id, usage_type, units. In: usage_guided, the clock. Minutes are those of UTC. A minute
-- leaves when it is 24 hours old; late, corrected and voided records change their own minute while it is kept. Hours, days and
-- months are in usage_meters.
CREATE MATERIALIZED VIEW usage_meters_minutely WITH (key = 'minute,account_id,subscription_id,usage_type,units') AS
SELECT date_trunc('minute', used_at) AS minute, account_id, subscription_id, usage_type, units, sum(quantity) AS quantity,
       count(*) AS records, max(quantity) AS greatest_quantity, count(DISTINCT b_party) AS others
FROM usage_guided
WHERE status = 'guided' AND date_trunc('minute', used_at) > now() - INTERVAL '24 hours'
GROUP BY date_trunc('minute', used_at), account_id, subscription_id, usage_type, units;
