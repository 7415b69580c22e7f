-- What is left of each bucket: what was granted, used, lapsed and reset; and what was used beyond it.
--
-- Key: bucket_id, unit. In: bucket_grants, bucket_uses, fact_voids, the clock. Grants count from valid_from, by the clock, until
-- what is left of them lapses by a bucket.expired event. granted = burnt + expired + reset_loss + balance; overage > 0 only where
-- the balance is 0. notice is the greatest of 50, 80 and 100 percent reached, and falls again when a correction lowers the use. A
-- voided grant gives nothing; a use that fact_voids names never was. Uses are those that the charging system states for the
-- bucket; which grant of it burns first (priority, expiry, time, id) is in entitlement_grants. A late grant or use counts as if
-- it had been there in time.
CREATE MATERIALIZED VIEW entitlement_balance WITH (key = 'bucket_id,unit') AS
SELECT bucket_id, unit, granted, least(used, granted - expired - reset_loss) AS burnt, expired, reset_loss,
       greatest(granted - expired - reset_loss - used, 0) AS balance,
       greatest(used - (granted - expired - reset_loss), 0) AS overage,
       round(100 * used / nullif(granted - expired - reset_loss, 0), 2) AS percent_used,
       CASE WHEN used >= granted - expired - reset_loss AND used > 0 THEN 100
            WHEN used * 100 >= (granted - expired - reset_loss) * 80 AND used > 0 THEN 80
            WHEN used * 100 >= (granted - expired - reset_loss) * 50 AND used > 0 THEN 50
            ELSE 0 END AS notice
FROM (
    SELECT bucket_id, unit, sum(granted) AS granted, sum(used) AS used, sum(expired) AS expired, sum(reset_loss) AS reset_loss
    FROM (
        SELECT bucket_id, unit, amount AS granted, 0.000 AS used, 0.000 AS expired, 0.000 AS reset_loss
        FROM bucket_grants
        WHERE coalesce(state, 'active') <> 'voided' AND coalesce(valid_from, granted_at) <= now()
        UNION ALL
        SELECT u.bucket_id, u.unit, 0,
               CASE WHEN u.event_type LIKE '%consumed%' THEN u.amount ELSE 0 END,
               CASE WHEN u.event_type LIKE '%expired%' THEN u.amount ELSE 0 END,
               CASE WHEN u.event_type LIKE '%reset%' THEN u.amount ELSE 0 END
        FROM bucket_uses u
        WHERE NOT EXISTS (SELECT 1 FROM fact_voids v WHERE v.supersedes = u.event_id)
    ) f
    WHERE bucket_id IS NOT NULL
    GROUP BY bucket_id, unit
) b;
