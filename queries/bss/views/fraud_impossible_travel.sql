-- F4: two places too far apart for the time between them, and SIM cards that make two calls at once.
--
-- Key: pivot, point_id. In: geo_points, calls. A hit when a point is more than 100 km from the one before it of the same customer
-- or SIM card, at more than 900 km/h (that is a clone, for a card); not within the same /24 network, nor when the accuracy
-- exceeds the distance. A clone is a call that begins while an earlier one of the same IMSI lasts. A late point is compared with
-- both neighbours, and the pair that it separates is taken back; so is the pair of a voided point. A corrected place takes that
-- of the one before.
CREATE MATERIALIZED VIEW fraud_impossible_travel WITH (key = 'pivot,point_id') AS
SELECT 'F4' AS rule_id, 1 AS rule_version, pivot, customer_id, point_id, at AS happened_at,
       round(km::numeric, 1) AS km, 100 AS km_max, round((km / nullif(hours, 0))::numeric, 0) AS kmh, 900 AS kmh_max,
       round(least(1.0, 0.5 + km / 4000)::numeric, 4) AS score, before_id || ',' || point_id AS evidence
FROM (
    SELECT pivot, customer_id, point_id, before_id, at, accuracy, same_network,
           extract(epoch FROM at - before_at)::double precision / 3600 AS hours,
           2 * 6371 * asin(least(1, sqrt(power(sin(radians(latitude - before_latitude) / 2), 2)
               + cos(radians(before_latitude)) * cos(radians(latitude)) * power(sin(radians(longitude - before_longitude) / 2), 2)))) AS km
    FROM (
        SELECT pivot, customer_id, point_id, at, latitude, longitude,
               lag(point_id) OVER w AS before_id, lag(at) OVER w AS before_at,
               lag(latitude) OVER w AS before_latitude, lag(longitude) OVER w AS before_longitude,
               greatest(accuracy_km, lag(accuracy_km) OVER w) AS accuracy,
               coalesce(network = lag(network) OVER w, false) AS same_network
        FROM geo_points
        WINDOW w AS (PARTITION BY pivot ORDER BY at, point_id)
    ) pairs
    WHERE before_id IS NOT NULL
) moved
WHERE km > 100 AND km > 900 * hours AND km > accuracy AND NOT same_network
UNION ALL
SELECT 'F4', 1, pivot, customer_id, point_id, started_at, NULL, 100, NULL, 900, 0.9, before_id || ',' || point_id
FROM (
    SELECT 'imsi/' || imsi AS pivot, customer_id, 'call/' || usage_id AS point_id, started_at,
           'call/' || lag(usage_id) OVER (PARTITION BY imsi ORDER BY started_at, usage_id) AS before_id,
           max(started_at + seconds::double precision * INTERVAL '1 second') OVER (PARTITION BY imsi ORDER BY started_at, usage_id
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS busy_until
    FROM calls
    WHERE imsi IS NOT NULL AND direction = 'out'
) sims
WHERE started_at < busy_until;
