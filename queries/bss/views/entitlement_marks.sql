-- The grants of each bucket, from when until when they hold and where they stand among each other, and its uses.
--
-- A row for each grant (kind grant) and each use (kind use). In: bucket_grants, bucket_uses, fact_voids. place numbers the grants of a
-- bucket as they burn: the least priority first, then what lapses first, then the oldest, then by id. in_turn: the grants of the
-- bucket never lapse, and burn in the order in which they begin. What is voided is left out; late and corrected grants and uses stand
-- at their own time.
CREATE VIEW entitlement_marks AS
WITH grants AS (
    SELECT bucket_id, unit, grant_id, amount, from_at, coalesce(valid_until, TIMESTAMP '2200-01-01') AS until_at,
           row_number() OVER w AS place,
           valid_until IS NULL AND from_at >= coalesce(lag(from_at) OVER w, from_at) AS in_turn
    FROM (SELECT *, coalesce(valid_from, granted_at) AS from_at FROM bucket_grants WHERE coalesce(state, 'active') <> 'voided') g
    WHERE bucket_id IS NOT NULL AND unit IS NOT NULL AND from_at < coalesce(valid_until, TIMESTAMP '2200-01-01')
    WINDOW w AS (PARTITION BY bucket_id, unit ORDER BY coalesce(priority, 0), valid_until NULLS LAST, granted_at, grant_id)
), buckets AS (
    SELECT bucket_id, unit, bool_and(in_turn) AS in_turn FROM grants GROUP BY bucket_id, unit
)
SELECT g.bucket_id, g.unit, 'grant' AS kind, g.grant_id, g.place, g.amount, g.from_at AS at, g.until_at, b.in_turn
FROM grants g
JOIN buckets b ON b.bucket_id = g.bucket_id AND b.unit = g.unit
UNION ALL
SELECT u.bucket_id, u.unit, 'use', NULL, NULL, u.amount, u.happened_at, NULL, b.in_turn
FROM bucket_uses u
JOIN buckets b ON b.bucket_id = u.bucket_id AND b.unit = u.unit
WHERE u.event_type LIKE '%consumed%' AND NOT EXISTS (SELECT 1 FROM fact_voids v WHERE v.supersedes = u.event_id);
