-- Visits to the shop: what a visitor did without a pause of 30 minutes.
--
-- Key: visitor, started_at. In: visits. A late event may join two sessions into one; one that is voided may split a session.
-- Who logs in during a session takes along what was done in it before. A corrected event counts at the time that the correction
-- says.
CREATE MATERIALIZED VIEW sessions WITH (key = 'visitor,started_at') AS
SELECT visitor, min(happened_at) AS started_at, max(happened_at) AS ended_at, count(*) AS events,
       count(*) FILTER (WHERE kind = 'view') AS views, count(*) FILTER (WHERE kind = 'cart') AS carts,
       count(DISTINCT offering_id) AS offerings,
       -- More than 60 views within any minute by the clock.
       max(views_of_minute) > 60 AS is_bot
FROM (
    SELECT visitor, happened_at, kind, offering_id, views_of_minute,
           sum(fresh) OVER (PARTITION BY visitor ORDER BY happened_at) AS session
    FROM (
        SELECT visitor, event_id, happened_at, kind, offering_id,
               CASE WHEN happened_at - lag(happened_at) OVER (PARTITION BY visitor ORDER BY happened_at)
                         > INTERVAL '30 minutes' THEN 1 ELSE 0 END AS fresh,
               sum(CASE WHEN kind = 'view' THEN 1 ELSE 0 END) OVER (PARTITION BY visitor ORDER BY happened_at
                   RANGE BETWEEN INTERVAL '1 minute' PRECEDING AND CURRENT ROW) AS views_of_minute
        FROM visits
    ) steps
) numbered
GROUP BY visitor, session;
