-- Which grants of a bucket are burnt, in part or not yet: each use burns, of the grants that hold at its time, the one of the least
-- priority first, then what lapses first, then the oldest, then by id.
--
-- Key: grant_id. In: bucket_grants, entitlement_marks, entitlement_parts, the clock. A grant holds from valid_from (else from when it
-- was granted) until before valid_until; what is used while nothing holds, or beyond what does, burns no grant (overage of
-- entitlement_balance). lapsed: its time is over by the clock, and what is left of it is lost. Where grants lapse, each part of the
-- bucket's time takes what the one before left. Where none does, and they burn in the order in which they begin, what was ever used
-- beyond them is the most by which the uses were ahead of the grants, and the others are laid along them. A late, corrected or voided
-- use moves the border between burnt and rest, in its own time and after it; a late grant takes over from those behind it, from its
-- own time on.
CREATE MATERIALIZED VIEW entitlement_grants WITH (key = 'grant_id') AS
WITH MUTUALLY RECURSIVE
    held (bucket_id TEXT, unit TEXT, part BIGINT, grant_id TEXT, place BIGINT, last BIGINT, rest DECIMAL(18, 3)) AS (
        SELECT bucket_id, unit, first, grant_id, place, last, amount FROM entitlement_parts WHERE grant_id IS NOT NULL
        UNION ALL
        SELECT bucket_id, unit, part + 1, grant_id, place, last, rest - burnt FROM burnings WHERE part + 1 < last AND burnt < rest),
    burnings (bucket_id TEXT, unit TEXT, part BIGINT, grant_id TEXT, place BIGINT, last BIGINT, rest DECIMAL(18, 3), burnt DECIMAL(18, 3)) AS (
        SELECT h.bucket_id, h.unit, h.part, h.grant_id, h.place, h.last, h.rest,
               greatest(least(u.amount - sum(CASE WHEN b.place < h.place THEN b.rest ELSE 0 END), h.rest), 0)
        FROM held h
        JOIN held b ON b.bucket_id = h.bucket_id AND b.unit = h.unit AND b.part = h.part
        JOIN entitlement_parts u ON u.bucket_id = h.bucket_id AND u.unit = h.unit AND u.first = h.part AND u.grant_id IS NULL
        GROUP BY h.bucket_id, h.unit, h.part, h.grant_id, h.place, h.last, h.rest, u.amount)
SELECT g.grant_id, g.bucket_id, g.unit, g.priority, g.valid_until, g.amount, coalesce(b.burnt, 0) AS burnt,
       g.amount - coalesce(b.burnt, 0) AS rest, coalesce(g.valid_until <= now(), false) AS lapsed
FROM bucket_grants g
LEFT JOIN (
    SELECT grant_id, sum(burnt) AS burnt FROM burnings GROUP BY grant_id
    UNION ALL
    SELECT m.grant_id, least(greatest(u.served - m.before, 0), m.amount)
    FROM (
        SELECT bucket_id, unit, grant_id, amount, sum(amount) OVER (PARTITION BY bucket_id, unit ORDER BY place) - amount AS before
        FROM entitlement_marks WHERE kind = 'grant' AND in_turn
    ) m
    JOIN (
        SELECT bucket_id, unit, sum(used) - greatest(max(ahead), 0) AS served
        FROM (
            SELECT bucket_id, unit, CASE WHEN kind = 'use' THEN amount ELSE 0 END AS used,
                   sum(CASE WHEN kind = 'use' THEN amount ELSE -amount END)
                       OVER (PARTITION BY bucket_id, unit ORDER BY at RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS ahead
            FROM entitlement_marks WHERE in_turn
        ) steps
        GROUP BY bucket_id, unit
    ) u ON u.bucket_id = m.bucket_id AND u.unit = m.unit
) b ON b.grant_id = g.grant_id
WHERE coalesce(g.state, 'active') <> 'voided';
