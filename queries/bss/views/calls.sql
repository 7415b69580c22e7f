-- Each call as it is known now: corrected, and not voided.
--
-- A row for each record that counts. In: usage_records of type voice, usage_amendments. For each field the correction with the
-- greatest version counts; a voided, rejected or doubled record is gone, from its own time on; a recycled one is back. seconds is
-- what it lasted: its duration, else its volume where that is a time. Who calls out and is not named is the line's own number. A
-- late call stands at its own time.
CREATE MATERIALIZED VIEW calls AS
SELECT u.usage_id, u.customer_id, u.account_id, coalesce(a.msisdn, u.msisdn) AS msisdn, u.imsi, u.imei,
       CASE WHEN u.direction = 'in' THEN u.a_party ELSE coalesce(u.a_party, a.msisdn, u.msisdn) END AS a_party, u.b_party,
       u.b_country, u.b_number_type, u.direction, u.cell_id, u.latitude, u.longitude,
       coalesce(a.started_at, u.used_at) AS started_at,
       CASE WHEN a.volume IS NOT NULL AND u.units IN ('s', 'min', 'h') AND coalesce(a.duration_version, -1) < a.volume_version
            THEN a.volume * CASE u.units WHEN 'h' THEN 3600 WHEN 'min' THEN 60 ELSE 1 END
            ELSE coalesce(a.duration_s, u.duration_s,
                          u.volume * CASE u.units WHEN 'h' THEN 3600 WHEN 'min' THEN 60 WHEN 's' THEN 1 END, 0) END::decimal(18, 3) AS seconds
FROM usage_records u
LEFT JOIN usage_amendments a ON a.usage_id = u.usage_id
WHERE coalesce(a.usage_type, u.usage_type) = 'voice' AND a.verdict IS NULL AND NOT coalesce(array_has(a.sent_again, u.event_id), false);
