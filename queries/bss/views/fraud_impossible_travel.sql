-- F4: two places too far apart for the time between them, and SIM cards that make two calls at once.
--
-- Key: pivot, point_id. In: geo_points, calls, resource_states. A hit when a point is more than 100 km from the one before it of the
-- same customer or SIM card (the number, where no card is named), at more than 900 km/h (that is a clone, for a card); not within
-- the same /24 network, nor when the accuracy exceeds the distance. A call is where it says, else where its cell stands (resources
-- of kind cell); a call of which neither is known is no hit, nor is the next one. A clone is also a call out that begins while an
-- earlier one of the same IMSI lasts. A late point is compared with both neighbours, and the pair that it separates is taken back;
-- so is the pair of a voided point. A corrected place takes that of the one before; a cell that is told late, or set right, makes or
-- takes the hits of its calls.
CREATE MATERIALIZED VIEW fraud_impossible_travel WITH (key = 'pivot,point_id') AS
WITH card_calls AS (
    SELECT coalesce('imsi/' || imsi, 'msisdn/' || msisdn) AS pivot, customer_id, usage_id, started_at, cell_id, latitude, longitude,
           lag(usage_id) OVER w AS before_id, lag(started_at) OVER w AS before_at, lag(cell_id) OVER w AS before_cell_id,
           lag(latitude) OVER w AS before_latitude, lag(longitude) OVER w AS before_longitude,
           coalesce(imsi IS NOT NULL AND direction = 'out' AND started_at < max(
               CASE WHEN imsi IS NOT NULL AND direction = 'out' THEN started_at + seconds::double precision * INTERVAL '1 second' END)
               OVER (PARTITION BY coalesce('imsi/' || imsi, 'msisdn/' || msisdn) ORDER BY started_at, usage_id
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), false) AS at_once
    FROM calls
    WHERE coalesce(imsi, msisdn) IS NOT NULL
    WINDOW w AS (PARTITION BY coalesce('imsi/' || imsi, 'msisdn/' || msisdn) ORDER BY started_at, usage_id)
), cells AS (
    SELECT resource_id AS cell_id, latitude, longitude FROM resource_states WHERE kind = 'cell'
), pairs AS (
    SELECT pivot, customer_id, point_id, before_id, at, before_at, latitude, longitude, before_latitude, before_longitude, accuracy,
           same_network, false AS at_once
    FROM (
        SELECT pivot, customer_id, point_id, at, latitude, longitude,
               lag(point_id) OVER w AS before_id, lag(at) OVER w AS before_at,
               lag(latitude) OVER w AS before_latitude, lag(longitude) OVER w AS before_longitude,
               greatest(accuracy_km, lag(accuracy_km) OVER w) AS accuracy,
               coalesce(network = lag(network) OVER w, false) AS same_network
        FROM geo_points
        WINDOW w AS (PARTITION BY pivot ORDER BY at, point_id)
    ) points
    WHERE before_id IS NOT NULL
    UNION ALL
    SELECT s.pivot, s.customer_id, 'call/' || s.usage_id, 'call/' || s.before_id, s.started_at, s.before_at,
           coalesce(s.latitude, c.latitude), coalesce(s.longitude, c.longitude),
           coalesce(s.before_latitude, b.latitude), coalesce(s.before_longitude, b.longitude), 0, false, s.at_once
    FROM card_calls s
    LEFT JOIN cells c ON c.cell_id = s.cell_id
    LEFT JOIN cells b ON b.cell_id = s.before_cell_id
    WHERE s.at_once OR s.before_id IS NOT NULL AND (s.cell_id <> s.before_cell_id OR s.latitude IS DISTINCT FROM s.before_latitude
          OR s.longitude IS DISTINCT FROM s.before_longitude)
), moved AS (
    SELECT pivot, customer_id, point_id, before_id, at, at_once, NOT at_once AND km > 100 AND km > 900 * hours AND km > accuracy
           AND NOT same_network AS travelled, km, hours
    FROM (
        SELECT pivot, customer_id, point_id, before_id, at, accuracy, same_network, at_once,
               extract(epoch FROM at - before_at)::double precision / 3600 AS hours,
               2 * 6371 * asin(least(1, sqrt(power(sin(radians(latitude - before_latitude) / 2), 2)
                   + cos(radians(before_latitude)) * cos(radians(latitude)) * power(sin(radians(longitude - before_longitude) / 2), 2)))) AS km
        FROM pairs
        WHERE at_once OR latitude IS NOT NULL AND longitude IS NOT NULL AND before_latitude IS NOT NULL AND before_longitude IS NOT NULL
    ) far
)
SELECT 'F4' AS rule_id, 1 AS rule_version, pivot, customer_id, point_id, at AS happened_at,
       CASE WHEN travelled THEN round(km::numeric, 1) END AS km, 100 AS km_max,
       CASE WHEN travelled THEN round((km / nullif(hours, 0))::numeric, 0) END AS kmh, 900 AS kmh_max,
       CASE WHEN travelled THEN round(least(1.0, 0.5 + km / 4000)::numeric, 4) ELSE 0.9 END AS score, before_id || ',' || point_id AS evidence
FROM moved
WHERE travelled OR at_once;
