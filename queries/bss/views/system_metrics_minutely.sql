-- What systems measured in each minute, for the last 24 hours by the clock.
--
-- Key: minute, metric_name, resource_id, unit. In: metrics, fact_voids, the clock. A minute leaves, with all that it took,
-- when it is 24 hours old. A late measurement counts in its own minute while that is kept; a voided or corrected one is gone.
CREATE MATERIALIZED VIEW system_metrics_minutely WITH (key = 'minute,metric_name,resource_id,unit') AS
SELECT date_trunc('minute', m.measured_at) AS minute, m.metric_name, coalesce(m.resource_id, m.region, 'all') AS resource_id,
       coalesce(m.unit, '1') AS unit, count(*) AS measurements, round(avg(m.value), 6) AS mean,
       min(m.value) AS least_value, max(m.value) AS greatest_value
FROM metrics m
LEFT JOIN (SELECT DISTINCT supersedes FROM fact_voids) v ON v.supersedes = m.event_id
WHERE v.supersedes IS NULL AND date_trunc('minute', m.measured_at) > now() - INTERVAL '24 hours'
GROUP BY date_trunc('minute', m.measured_at), m.metric_name, coalesce(m.resource_id, m.region, 'all'), coalesce(m.unit, '1');
