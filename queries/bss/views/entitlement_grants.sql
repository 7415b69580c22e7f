-- Which grants of a bucket are burnt, in part or not yet: by priority, then what lapses first, then time and id.
--
-- Key: grant_id. In: bucket_grants, bucket_uses, fact_voids. The use of a bucket is laid along its grants in that order, whenever
-- it happened: a late, corrected or voided use moves the border between burnt and rest; a new grant with a higher priority takes
-- over from those behind it. Validity windows of grants within a bucket are not told apart by the time of the use.
CREATE MATERIALIZED VIEW entitlement_grants WITH (key = 'grant_id') AS
SELECT g.grant_id, g.bucket_id, g.unit, g.priority, g.valid_until, g.amount,
       greatest(least(coalesce(u.used, 0) - g.before, g.amount), 0) AS burnt,
       g.amount - greatest(least(coalesce(u.used, 0) - g.before, g.amount), 0) AS rest
FROM (
    SELECT grant_id, bucket_id, unit, priority, valid_until, amount,
           sum(amount) OVER (PARTITION BY bucket_id, unit
                             ORDER BY coalesce(priority, 0), valid_until NULLS LAST, granted_at, grant_id) - amount AS before
    FROM bucket_grants
    WHERE coalesce(state, 'active') <> 'voided'
) g
LEFT JOIN (
    SELECT u.bucket_id, u.unit, sum(u.amount) AS used
    FROM bucket_uses u
    WHERE NOT EXISTS (SELECT 1 FROM fact_voids v WHERE v.supersedes = u.event_id)
    GROUP BY u.bucket_id, u.unit
) u ON u.bucket_id = g.bucket_id AND u.unit = g.unit;
