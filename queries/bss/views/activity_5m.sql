-- What each visitor did in each five minutes: how often, of which kind, on how many products.
--
-- Key: visitor, started_at, kind. In: visits. A late event counts in the five minutes when it happened. A window closes ten
-- minutes after its end; late says how many of its events were recorded after that. Voided events are gone.
CREATE MATERIALIZED VIEW activity_5m WITH (key = 'visitor,started_at,kind') AS
SELECT visitor, date_bin(INTERVAL '5 minutes', happened_at) AS started_at, kind,
       count(*) AS events, count(DISTINCT offering_id) AS offerings,
       count(*) FILTER (WHERE recorded_at > date_bin(INTERVAL '5 minutes', happened_at) + INTERVAL '15 minutes') AS late
FROM visits
GROUP BY visitor, date_bin(INTERVAL '5 minutes', happened_at), kind;
