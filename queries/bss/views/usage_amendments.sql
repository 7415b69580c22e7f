-- What became of usage records after they came: corrected fields, verdicts, and records that were sent twice.
--
-- Key: usage_id. In: usage_corrections, usage_verdicts, usage_records. For each field the correction with the greatest version that
-- speaks of it counts; volume_version and duration_version say which that was. A recycled record counts again. Of events with one
-- network_record_id and time (without one: with one usage_id), under several ids, the one with the smallest usage_id and event_id
-- counts; sent_again names the others. A correction or a verdict may come before its record, or long after it; a voided record
-- keeps its row here.
CREATE MATERIALIZED VIEW usage_amendments WITH (key = 'usage_id') AS
SELECT usage_id, max(volume) AS volume, max(duration_s) AS duration_s, max(msisdn) AS msisdn, max(usage_type) AS usage_type,
       max(started_at) AS started_at, max(verdict) AS verdict, max(volume_version) AS volume_version,
       max(duration_version) AS duration_version,
       array_agg(event_id ORDER BY event_id) FILTER (WHERE event_id IS NOT NULL) AS sent_again
FROM (
    SELECT usage_id,
           arg_max(volume, version) FILTER (WHERE volume IS NOT NULL) AS volume,
           arg_max(duration_s, version) FILTER (WHERE duration_s IS NOT NULL) AS duration_s,
           arg_max(msisdn, version) FILTER (WHERE msisdn IS NOT NULL) AS msisdn,
           arg_max(usage_type, version) FILTER (WHERE usage_type IS NOT NULL) AS usage_type,
           arg_max(started_at, version) FILTER (WHERE started_at IS NOT NULL) AS started_at,
           NULL AS verdict,
           max(version) FILTER (WHERE volume IS NOT NULL) AS volume_version,
           max(version) FILTER (WHERE duration_s IS NOT NULL) AS duration_version,
           NULL AS event_id
    FROM usage_corrections
    GROUP BY usage_id
    UNION ALL
    SELECT usage_id, NULL, NULL, NULL, NULL, NULL, CASE WHEN event_type LIKE '%rejected%' THEN 'rejected' ELSE 'voided' END,
           NULL, NULL, NULL
    FROM usage_verdicts
    WHERE event_type NOT LIKE '%recycled%'
    UNION ALL
    SELECT usage_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, event_id
    FROM (
        SELECT usage_id, event_id,
               row_number() OVER (PARTITION BY coalesce(network_record_id, usage_id), network_record_id IS NULL,
                                               CASE WHEN network_record_id IS NOT NULL THEN used_at END
                                  ORDER BY usage_id, event_id) AS place
        FROM usage_records
    ) d
    WHERE place > 1
) a
GROUP BY usage_id;
