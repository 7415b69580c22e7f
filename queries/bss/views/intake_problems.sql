-- What came in and needs a look, by the day when it happened: late, from the future, not matched, rejected.
--
-- Key: day, reason, kind. In: event_arrivals, usage_records, usage_verdicts, resource_history. late: recorded more than a day
-- after it happened; future: recorded before it happened; unmatched: usage whose number no resource has ever held; rejected:
-- usage that mediation rejected and nobody recycled. An unmatched record goes when its number turns up, however late. What
-- could not be read at all is in GET /api/v1/quarantine.
CREATE MATERIALIZED VIEW intake_problems WITH (key = 'day,reason,kind') AS
SELECT day, reason, kind, count(*) AS events, (array_agg(id ORDER BY id))[1] AS example
FROM (
    SELECT happened_at::date AS day, CASE WHEN recorded_at < happened_at THEN 'future' ELSE 'late' END AS reason, event_type AS kind, event_id AS id
    FROM event_arrivals
    WHERE recorded_at > happened_at + INTERVAL '1 day' OR recorded_at < happened_at
    UNION ALL
    SELECT u.used_at::date, 'unmatched', u.usage_type, u.usage_id
    FROM usage_records u
    LEFT JOIN (SELECT DISTINCT msisdn FROM resource_history WHERE msisdn IS NOT NULL) r ON r.msisdn = u.msisdn
    WHERE u.msisdn IS NOT NULL AND r.msisdn IS NULL
    UNION ALL
    SELECT changed_at::date, 'rejected', coalesce(reason, 'unknown'), usage_id
    FROM usage_verdicts
    WHERE event_type LIKE '%rejected%'
) problems
GROUP BY day, reason, kind;
