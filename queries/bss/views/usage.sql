-- Each usage record as known now: corrected, with its verdict, and with the line that it was made on.
--
-- Key: usage_id, event_id. In: usage_records, usage_amendments. quantity is the volume, else the duration in seconds; where the volume
-- is a time (s, min, h), a later correction of the duration is one of the volume. A late record counts at the time when the usage
-- began; a correction takes the place of what it corrects; a voided, rejected or doubled record stays, with its verdict, and is
-- billed to nobody. Of a record that was sent twice under two ids one counts, the other is the duplicate.
CREATE VIEW usage AS
SELECT u.event_id, u.usage_id, coalesce(a.usage_type, u.usage_type) AS usage_type,
       CASE WHEN a.duration_s IS NOT NULL AND u.volume IS NOT NULL AND u.units IN ('s', 'min', 'h')
                 AND a.duration_version > coalesce(a.volume_version, -1)
            THEN round(a.duration_s / CASE u.units WHEN 'h' THEN 3600 WHEN 'min' THEN 60 ELSE 1 END, 3)::decimal(18, 3)
            ELSE coalesce(a.volume, u.volume, a.duration_s, u.duration_s, 1) END AS quantity,
       coalesce(u.units, 's') AS units,
       CASE WHEN u.subscription_id IS NOT NULL THEN 's:' || u.subscription_id
            ELSE 'n:' || coalesce(a.msisdn, u.msisdn, u.a_party) END AS line,
       coalesce(a.started_at, u.used_at) AS used_at,
       coalesce(a.verdict, CASE WHEN array_has(a.sent_again, u.event_id) THEN 'duplicate' END) AS verdict,
       u.b_party, u.recorded_at
FROM usage_records u
LEFT JOIN usage_amendments a ON a.usage_id = u.usage_id;
