-- Usage that nobody pays for, and why: no line in the record, a line nobody ever had, or nobody had it then.
--
-- Key: usage_id, event_id. In: usage_guided, guide_intervals. A row goes as soon as a late assignment, subscription or correction
-- matches it.
CREATE MATERIALIZED VIEW usage_unmatched WITH (key = 'usage_id,event_id') AS
SELECT u.usage_id, u.event_id, u.line, u.usage_type, u.quantity, u.units, u.used_at,
       CASE WHEN u.line IS NULL THEN 'no line' WHEN k.line IS NULL THEN 'unknown line' ELSE 'nobody had it then' END AS reason
FROM usage_guided u
LEFT JOIN (SELECT DISTINCT line FROM guide_intervals) k ON k.line = u.line
WHERE u.status = 'unmatched';
