-- How often each product was looked at in each hour, by visitors that are no bots, and how often at that hour in the 28 days
-- before.
--
-- Key: offering_id, hour. In: visits, sessions. A visitor with a session of more than 60 views in a minute is a bot: its views
-- of that session are left out, also those before it was recognised. Voided views are gone. The mean is over 28 days, those
-- without views as 0. A late or corrected view counts in the hour when it happened.
CREATE MATERIALIZED VIEW trending_hours WITH (key = 'offering_id,hour') AS
SELECT offering_id, hour, views,
       coalesce(sum(views) OVER (PARTITION BY offering_id, extract(hour FROM hour) ORDER BY hour
                RANGE BETWEEN INTERVAL '28 days' PRECEDING AND INTERVAL '1 hour' PRECEDING), 0)::numeric / 28 AS mean_28d
FROM (
    SELECT v.offering_id, date_trunc('hour', v.happened_at) AS hour, count(*) AS views
    FROM visits v
    LEFT JOIN (SELECT visitor, started_at, ended_at FROM sessions WHERE is_bot) b
      ON b.visitor = v.visitor AND v.happened_at BETWEEN b.started_at AND b.ended_at
    WHERE v.kind = 'view' AND v.offering_id IS NOT NULL AND b.visitor IS NULL
    GROUP BY v.offering_id, date_trunc('hour', v.happened_at)
) hours;
