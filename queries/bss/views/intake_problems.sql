-- What came in and needs a look, by the day when it happened and by source: late, from the future, not matched, rejected, sent twice.
--
-- Key: day, reason, kind, source. In: event_arrivals, usage_records, usage_verdicts, usage_amendments, usage_unmatched. late: recorded
-- more than a day after it happened; future: recorded before it happened; unmatched: usage that nobody pays for (no line, a line
-- nobody ever had, or nobody had it then, which is in usage_unmatched); rejected: usage that mediation rejected and nobody recycled;
-- sent twice: usage told again under another id. An unmatched record goes when its line turns up, however late. What could not be
-- read at all is in GET /api/v1/quarantine, with counts by reason in /metrics. A correction that names another line matches the
-- record anew.
CREATE MATERIALIZED VIEW intake_problems WITH (key = 'day,reason,kind,source') AS
SELECT day, reason, kind, source, count(*) AS events, (array_agg(id ORDER BY id))[1] AS example
FROM (
    SELECT happened_at::date AS day, CASE WHEN recorded_at < happened_at THEN 'future' ELSE 'late' END AS reason, event_type AS kind,
           source, event_id AS id
    FROM event_arrivals
    WHERE recorded_at > happened_at + INTERVAL '1 day' OR recorded_at < happened_at
    UNION ALL
    SELECT u.used_at::date, 'unmatched', u.usage_type, r.source, u.usage_id
    FROM usage_unmatched u
    JOIN usage_records r ON r.usage_id = u.usage_id AND r.event_id = u.event_id
    UNION ALL
    SELECT changed_at::date, 'rejected', coalesce(reason, 'unknown'), source, usage_id
    FROM usage_verdicts
    WHERE event_type LIKE '%rejected%'
    UNION ALL
    SELECT r.used_at::date, 'sent twice', r.usage_type, r.source, r.usage_id
    FROM usage_records r
    JOIN (SELECT usage_id, sent_again FROM usage_amendments WHERE sent_again IS NOT NULL) a ON a.usage_id = r.usage_id
    WHERE array_has(a.sent_again, r.event_id)
) problems
GROUP BY day, reason, kind, source;
