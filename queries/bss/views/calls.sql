-- Each call as it is known now: corrected, and not voided.
--
-- Key: usage_id. In: usage_records of type voice, usage_corrections, usage_verdicts. The correction with the greatest version
-- counts; a voided or rejected record is gone, from its own time on; a recycled one is back. seconds is what it lasted.
CREATE VIEW calls AS
SELECT u.usage_id, u.customer_id, u.account_id, coalesce(c.msisdn, u.msisdn) AS msisdn, u.imsi, u.imei, u.a_party, u.b_party,
       coalesce(c.b_country, u.b_country) AS b_country, u.b_number_type, u.direction, u.cell_id, u.latitude, u.longitude,
       coalesce(c.started_at, u.used_at) AS started_at,
       coalesce(c.duration_s, u.duration_s, 0) AS seconds
FROM usage_records u
LEFT JOIN (
    SELECT DISTINCT ON (usage_id) usage_id, msisdn, b_country, started_at, duration_s
    FROM usage_corrections
    ORDER BY usage_id, version DESC
) c ON c.usage_id = u.usage_id
LEFT JOIN usage_verdicts v ON v.usage_id = u.usage_id AND v.event_type NOT LIKE '%recycled%'
WHERE u.usage_type = 'voice' AND v.usage_id IS NULL;
