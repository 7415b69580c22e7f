-- Which subscription each service realised when.
--
-- In: service_history. A late or back-dated version splits the interval that it falls into; one that is superseded never was. A
-- row for each service and interval. A correction from the same moment with a greater version takes the place of the one
-- before.
CREATE VIEW service_intervals AS
SELECT service_id, subscription_id, effective AS from_at,
       lead(effective) OVER (PARTITION BY service_id ORDER BY effective) AS until_at
FROM (
    SELECT DISTINCT ON (h.service_id, coalesce(h.effective_at, h.changed_at))
           h.service_id, h.subscription_id, coalesce(h.effective_at, h.changed_at) AS effective
    FROM service_history h
    WHERE NOT EXISTS (SELECT 1 FROM service_history o WHERE o.service_id = h.service_id AND o.supersedes = h.event_id)
    ORDER BY h.service_id, coalesce(h.effective_at, h.changed_at), h.version DESC
) v;
