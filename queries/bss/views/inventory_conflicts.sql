-- Numbers and cards that two services had at one time, as the inventory says it.
--
-- Key: identity, service_id, other_service_id, from_at. In: resource_intervals. A correction or a late release that parts them
-- takes the row away. identity is `msisdn:..`, `imsi:..` or `imei:..`. So does a version that another supersedes.
CREATE MATERIALIZED VIEW inventory_conflicts WITH (key = 'identity,service_id,other_service_id,from_at') AS
WITH held AS (
    SELECT 'msisdn:' || msisdn AS identity, service_id, from_at, until_at FROM resource_intervals WHERE msisdn IS NOT NULL
    UNION
    SELECT 'imsi:' || imsi, service_id, from_at, until_at FROM resource_intervals WHERE imsi IS NOT NULL
    UNION
    SELECT 'imei:' || imei, service_id, from_at, until_at FROM resource_intervals WHERE imei IS NOT NULL
)
SELECT a.identity, a.service_id, b.service_id AS other_service_id, greatest(a.from_at, b.from_at) AS from_at,
       min(least(a.until_at, b.until_at)) AS until_at
FROM held a
JOIN held b ON b.identity = a.identity
WHERE a.service_id < b.service_id
  AND a.from_at < coalesce(b.until_at, TIMESTAMP '2200-01-01') AND b.from_at < coalesce(a.until_at, TIMESTAMP '2200-01-01')
GROUP BY a.identity, a.service_id, b.service_id, greatest(a.from_at, b.from_at);
