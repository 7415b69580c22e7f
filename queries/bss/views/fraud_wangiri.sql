-- F9: a number abroad rings many customers for a moment, so that they call back.
--
-- Key: a_party, window_start. In: calls. Windows of an hour that begin every ten minutes: a hit when one number from abroad
-- reaches 50 different numbers or more, for less than 3 seconds in the mean. calls_back counts the calls to it from then on,
-- and minutes_back what they lasted. Late and voided calls change the windows that they fall in. A corrected duration changes
-- the mean.
CREATE MATERIALIZED VIEW fraud_wangiri WITH (key = 'a_party,window_start') AS
WITH incoming AS (
    SELECT a_party, coalesce(msisdn, b_party) AS rung, usage_id, started_at, seconds
    FROM calls
    WHERE direction = 'in' AND left(a_party, 3) <> left(coalesce(msisdn, b_party), 3)
), bursts AS (
    SELECT a_party, window_start, window_end, count(DISTINCT rung) AS numbers, count(*) AS rings, sum(seconds) AS seconds,
           max(started_at) AS happened_at,
           array_to_string((array_agg(usage_id ORDER BY started_at, usage_id))[1:20], ',') AS evidence
    FROM HOP(incoming, started_at, INTERVAL '10 minutes', INTERVAL '1 hour')
    GROUP BY a_party, window_start, window_end
    HAVING count(DISTINCT rung) >= 50 AND sum(seconds) < 3 * count(*)
), back AS (
    SELECT w.a_party, w.window_start, count(*) AS calls_back, sum(c.seconds) AS seconds_back
    FROM bursts w
    JOIN calls c ON c.b_party = w.a_party AND c.direction = 'out' AND c.started_at >= w.window_start
    GROUP BY w.a_party, w.window_start
)
SELECT 'F9' AS rule_id, 1 AS rule_version, 'msisdn/' || w.a_party AS pivot, NULL::text AS customer_id, w.a_party, w.window_start, w.happened_at,
       w.numbers, 50 AS numbers_max, w.rings, round(w.seconds / w.rings, 2) AS mean_seconds, 3 AS mean_seconds_max,
       coalesce(b.calls_back, 0) AS calls_back, round(coalesce(b.seconds_back, 0) / 60, 2) AS minutes_back,
       CASE WHEN b.calls_back > 0 THEN 0.9 ELSE 0.7 END AS score, w.evidence
FROM bursts w
LEFT JOIN back b ON b.a_party = w.a_party AND b.window_start = w.window_start;
