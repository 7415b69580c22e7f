-- What each visitor did in each five minutes: how often, of which kind, on how many products.
--
-- Key: visitor, started_at, kind. In: visits_told. A late event counts in the five minutes when it happened. A window closes ten
-- minutes after its end: what is recorded after that, and what is voided after that, changes nothing here and stands in
-- late_adjustments; so a row and its adjustments add up to what is known now. Who logs in later in a session takes along what was
-- done in it.
CREATE MATERIALIZED VIEW activity_5m WITH (key = 'visitor,started_at,kind') AS
SELECT visitor, date_bin(INTERVAL '5 minutes', happened_at) AS started_at, kind,
       count(*) AS events, count(DISTINCT offering_id) AS offerings
FROM visits_told
WHERE coalesce(recorded_at, happened_at) <= date_bin(INTERVAL '5 minutes', happened_at) + INTERVAL '15 minutes'
  AND (voided_at IS NULL OR voided_at > date_bin(INTERVAL '5 minutes', happened_at) + INTERVAL '15 minutes')
GROUP BY visitor, date_bin(INTERVAL '5 minutes', happened_at), kind;
