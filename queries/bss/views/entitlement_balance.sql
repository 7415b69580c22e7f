-- What is left of each bucket: what was granted, used, lapsed and reset; and what was used beyond it.
--
-- Key: bucket_id, unit. In: bucket_grants, bucket_uses, fact_voids, entitlement_grants, the clock. Grants count from valid_from, by
-- the clock. burnt is what entitlement_grants says of each use at its time; what no grant held is overage, as is what was used of
-- something that had lapsed or was reset. expired is what bucket.expired events state, or what is left of grants whose time is over
-- by the clock, whichever is more: the charging system may tell a lapse or leave it to the grant. granted = burnt + expired +
-- reset_loss + balance. notice is the greatest of 50, 80 and 100 percent reached, and falls again when a correction lowers the use. A
-- voided grant gives nothing; a use that fact_voids names never was. A late grant or use counts as if it had been there in time.
CREATE MATERIALIZED VIEW entitlement_balance WITH (key = 'bucket_id,unit') AS
SELECT bucket_id, unit, granted, least(burnt, granted - gone - reset_loss) AS burnt, gone AS expired, reset_loss,
       greatest(granted - gone - reset_loss - burnt, 0) AS balance,
       used - least(burnt, granted - gone - reset_loss) AS overage,
       round(100 * used / nullif(granted - gone - reset_loss, 0), 2) AS percent_used,
       CASE WHEN used >= granted - gone - reset_loss AND used > 0 THEN 100
            WHEN used * 100 >= (granted - gone - reset_loss) * 80 AND used > 0 THEN 80
            WHEN used * 100 >= (granted - gone - reset_loss) * 50 AND used > 0 THEN 50
            ELSE 0 END AS notice
FROM (
    SELECT bucket_id, unit, sum(granted) AS granted, sum(used) AS used, sum(burnt) AS burnt,
           greatest(sum(expired), sum(lapsed)) AS gone, sum(reset_loss) AS reset_loss
    FROM (
        SELECT bucket_id, unit, amount AS granted, 0.000 AS used, 0.000 AS burnt, 0.000 AS expired, 0.000 AS lapsed, 0.000 AS reset_loss
        FROM bucket_grants
        WHERE coalesce(state, 'active') <> 'voided' AND coalesce(valid_from, granted_at) <= now()
        UNION ALL
        SELECT bucket_id, unit, 0, 0, burnt, 0, CASE WHEN lapsed THEN rest ELSE 0 END, 0
        FROM entitlement_grants
        UNION ALL
        SELECT u.bucket_id, u.unit, 0,
               CASE WHEN u.event_type LIKE '%consumed%' THEN u.amount ELSE 0 END, 0,
               CASE WHEN u.event_type LIKE '%expired%' THEN u.amount ELSE 0 END, 0,
               CASE WHEN u.event_type LIKE '%reset%' THEN u.amount ELSE 0 END
        FROM bucket_uses u
        WHERE NOT EXISTS (SELECT 1 FROM fact_voids v WHERE v.supersedes = u.event_id)
    ) f
    WHERE bucket_id IS NOT NULL
    GROUP BY bucket_id, unit
) b;
