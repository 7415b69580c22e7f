-- The quality of what each source sends, by type and hour of the event.
--
-- Key: source, event_type, hour. In: event_arrivals. late_share: recorded more than an hour after it happened; skew_seconds:
-- mean of recorded less happened; without_customer: share of events that name none; z: how far the number of events is from
-- that of the same hour of the 28 days before (hours without events are not counted), from 7 such hours on. Only events that
-- could be read, and each once, are here: what broke a schema is in quarantine, and counted by rule in /metrics, as duplicates
-- are. A late event changes the hour when it happened. A correction or a void is an event of its own, and takes no other out.
CREATE MATERIALIZED VIEW data_quality WITH (key = 'source,event_type,hour') AS
WITH hours AS (
    SELECT source, event_type, date_trunc('hour', happened_at) AS hour, count(*) AS events,
           count(*) FILTER (WHERE recorded_at > happened_at + INTERVAL '1 hour') AS late, count(*) FILTER (WHERE customer_id IS NULL) AS without_customer,
           count(recorded_at) AS recorded, coalesce(sum(extract(epoch FROM recorded_at - happened_at)::numeric(18, 3)), 0) AS skew
    FROM event_arrivals
    GROUP BY source, event_type, date_trunc('hour', happened_at)
), beside AS (
    SELECT *, count(*) OVER w AS n, sum(events) OVER w AS s, sum(events * events) OVER w AS q
    FROM hours
    WINDOW w AS (PARTITION BY source, event_type, extract(hour FROM hour) ORDER BY hour
                 RANGE BETWEEN INTERVAL '28 days' PRECEDING AND INTERVAL '1 hour' PRECEDING)
)
SELECT source, event_type, hour, events, round(late::numeric / events, 4) AS late_share, round(without_customer::numeric / events, 4) AS without_customer,
       CASE WHEN recorded > 0 THEN round(skew / recorded, 3) END AS skew_seconds,
       CASE WHEN n >= 7 THEN round(((events - s::double precision / n)
           / nullif(sqrt(greatest(q::double precision - s::double precision * s / n, 0) / (n - 1)), 0))::numeric, 2) END AS z
FROM beside;
