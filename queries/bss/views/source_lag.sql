-- How far each writer of events has come, and who has fallen silent.
--
-- Key: source. In: event_arrivals, the clock. last_happened_at is the watermark of the source; late counts events recorded
-- more than an hour after they happened. idle when nothing happened for an hour by the clock. All views are at
-- one position; how far it is behind the log is in GET /api/v1/streams/status and /metrics (tallyflow_backlog_records), since a view
-- cannot see that of itself. Duplicates do not come this far. A correction or a void is an event of its own, and takes no other
-- out.
CREATE MATERIALIZED VIEW source_lag WITH (key = 'source') AS
SELECT source, events, last_happened_at, last_recorded_at, late, last_happened_at + INTERVAL '1 hour' <= now() AS idle
FROM (
    SELECT source, count(*) AS events, max(happened_at) AS last_happened_at, max(recorded_at) AS last_recorded_at,
           count(*) FILTER (WHERE recorded_at > happened_at + INTERVAL '1 hour') AS late
    FROM event_arrivals
    GROUP BY source
) sources;
