-- What all visitors did in each hour, by kind.
--
-- Key: hour, kind. In: visits. A late event counts in its own hour; a voided one is gone. A corrected one counts in the hour
-- that the correction says.
CREATE MATERIALIZED VIEW customer_activity_hourly WITH (key = 'hour,kind') AS
SELECT date_trunc('hour', happened_at) AS hour, kind, count(*) AS events, count(DISTINCT visitor) AS visitors,
       count(DISTINCT customer_id) AS customers, count(DISTINCT session_id) AS sessions
FROM visits
GROUP BY date_trunc('hour', happened_at), kind;
