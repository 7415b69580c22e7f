-- Which service had which card, number or device when: from from_at until before until_at (NULL: still).
--
-- Key: resource_id, from_at. In: resource_history. A swap closes one interval and opens the next at its effective time. A late or
-- back-dated assignment splits the interval that it falls into; one that another takes back by supersedes never was. Time in
-- which nobody had it makes no row. A correction is a version of its own from the same moment; the greatest version counts.
CREATE MATERIALIZED VIEW resource_intervals WITH (key = 'resource_id,from_at') AS
SELECT resource_id, kind, msisdn, imsi, iccid, imei, service_id, customer_id, from_at, until_at
FROM (
    SELECT resource_id, kind, msisdn, imsi, iccid, imei, service_id, customer_id, effective AS from_at,
           lead(effective) OVER (PARTITION BY resource_id ORDER BY effective) AS until_at
    FROM (
        SELECT DISTINCT ON (h.resource_id, coalesce(h.effective_at, h.changed_at))
               h.*, coalesce(h.effective_at, h.changed_at) AS effective
        FROM resource_history h
        WHERE NOT EXISTS (
            SELECT 1 FROM resource_history o WHERE o.resource_id = h.resource_id AND o.supersedes = h.event_id
        )
        ORDER BY h.resource_id, coalesce(h.effective_at, h.changed_at), h.version DESC
    ) v
) i
WHERE service_id IS NOT NULL;
