-- Each usage record as known now: corrected, with its verdict, and with the line that it was made on.
--
-- Key: usage_id, event_id. In: usage_records, usage_amendments. quantity is the volume, else the duration in seconds. A late record counts at the
-- time when the usage began; a correction takes the place of what it corrects; a voided, rejected or doubled record stays, with
-- its verdict, and is billed to nobody.
CREATE VIEW usage AS
SELECT u.event_id, u.usage_id, coalesce(a.usage_type, u.usage_type) AS usage_type,
       coalesce(a.volume, u.volume, a.duration_s, u.duration_s, 1) AS quantity, coalesce(u.units, 's') AS units,
       CASE WHEN u.subscription_id IS NOT NULL THEN 's:' || u.subscription_id
            ELSE 'n:' || coalesce(a.msisdn, u.msisdn, u.a_party) END AS line,
       coalesce(a.started_at, u.used_at) AS used_at, a.verdict, u.b_party, u.recorded_at
FROM usage_records u
LEFT JOIN usage_amendments a ON a.usage_id = u.usage_id;
