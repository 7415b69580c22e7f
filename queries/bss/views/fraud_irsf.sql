-- F8: calls to numbers that share their revenue, or many calls abroad at once.
--
-- Key: usage_id. In: calls, entity_lists, rated_states, customer_states, number_owners. Risky calls go to premium or satellite
-- numbers, to a country known for it (thirteen, in the query), or to a number that begins as one on the list high_risk_range
-- (3 to 8 characters, with +). A hit at a call at which its number (a_party) has 30 minutes or more of risky calls that began
-- within the hour up to it, or 5 calls abroad at the same time. cost_1h is what the risky ones were rated at; new_destination
-- says whether it never called that country in the 30 days before that hour; account_days how old its customer is. A corrected
-- duration or a voided call takes hits back; a list entry makes hits of calls that were made before. A late call is judged at
-- its own time, and makes hits of later ones.
CREATE MATERIALIZED VIEW fraud_irsf WITH (key = 'usage_id') AS
WITH abroad AS (
    SELECT usage_id, customer_id, a_party, b_party, b_country, b_number_type, started_at, seconds,
           started_at + seconds::double precision * INTERVAL '1 second' AS ended_at
    FROM calls
    WHERE direction = 'out' AND a_party IS NOT NULL
      AND (b_number_type IN ('international', 'premium', 'satellite') OR left(b_party, 3) <> left(a_party, 3))
), listed AS (
    SELECT DISTINCT p.usage_id
    FROM (SELECT usage_id, left(b_party, generate_series(3, 8)::int) AS prefix FROM abroad) p
    JOIN entity_lists e ON e.list_name = 'high_risk_range' AND e.entity_key = p.prefix
), busy AS (
    SELECT usage_id, sum(change) OVER (PARTITION BY a_party ORDER BY at, change, usage_id ROWS UNBOUNDED PRECEDING) AS at_once, change
    FROM (
        SELECT usage_id, a_party, started_at AS at, 1 AS change FROM abroad
        UNION ALL
        SELECT usage_id, a_party, ended_at, -1 FROM abroad
    ) steps
), counted AS (
    SELECT c.usage_id, c.customer_id, c.a_party, c.b_country, c.started_at, c.risky,
           sum(CASE WHEN c.risky THEN c.seconds ELSE 0 END) OVER recent / 60 AS minutes_1h,
           sum(CASE WHEN c.risky THEN coalesce(r.amount, 0) ELSE 0 END) OVER recent AS cost_1h,
           array_agg(c.usage_id) OVER recent AS evidence,
           count(*) OVER (PARTITION BY c.a_party, c.b_country ORDER BY c.started_at
                          RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 hour' PRECEDING) AS calls_before
    FROM (
        SELECT a.usage_id, a.customer_id, a.a_party, a.b_country, a.started_at, a.seconds,
               coalesce(a.b_number_type, '') IN ('premium', 'satellite') OR l.usage_id IS NOT NULL
                   OR coalesce(a.b_country, '') IN ('CU', 'GM', 'GN', 'GW', 'KM', 'LR', 'MV', 'NR', 'PG', 'SL', 'SO', 'ST', 'TN') AS risky
        FROM abroad a
        LEFT JOIN listed l ON l.usage_id = a.usage_id
    ) c
    LEFT JOIN rated_states r ON r.usage_id = c.usage_id
    WINDOW recent AS (PARTITION BY c.a_party ORDER BY c.started_at RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW)
)
SELECT 'F8' AS rule_id, 1 AS rule_version, 'msisdn/' || c.a_party AS pivot, coalesce(c.customer_id, n.customer_id) AS customer_id, c.usage_id, c.started_at AS happened_at,
       round(c.minutes_1h, 2) AS minutes_1h, 30 AS minutes_max, b.at_once, 5 AS at_once_max, c.cost_1h, c.b_country,
       c.calls_before = 0 AS new_destination, c.started_at::date - k.created_at::date AS account_days,
       least(1.0, 0.6 + CASE WHEN c.calls_before = 0 THEN 0.1 ELSE 0.0 END
                      + CASE WHEN c.started_at < k.created_at + INTERVAL '30 days' THEN 0.1 ELSE 0.0 END
                      + CASE WHEN c.minutes_1h >= 30 AND b.at_once >= 5 THEN 0.2 ELSE 0.0 END) AS score,
       array_to_string(array_slice(array_sort(c.evidence), 1, 20), ',') AS evidence
FROM counted c
JOIN busy b ON b.usage_id = c.usage_id AND b.change = 1
LEFT JOIN number_owners n ON n.msisdn = c.a_party
LEFT JOIN customer_states k ON k.customer_id = coalesce(c.customer_id, n.customer_id)
WHERE (c.risky AND c.minutes_1h >= 30) OR b.at_once >= 5;
