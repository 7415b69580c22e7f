-- The grants and uses of buckets whose grants lapse, or do not burn in the order in which they begin: each in a part of its bucket's time.
-- Parts end where a grant begins or ends.
--
-- A row for each grant (first: the part that it begins with, last: the one before which it ends, place: where it stands among those of
-- its bucket), and for each part of a bucket what was used in it. In: entitlement_marks. Parts are numbered from 1; what is used before
-- the first grant is in none. A late, corrected or voided grant or use changes the parts as if it had been known in time.
CREATE VIEW entitlement_parts AS
WITH marks AS (
    SELECT * FROM entitlement_marks WHERE NOT in_turn
), numbered AS (
    SELECT bucket_id, unit, kind, grant_id, place, amount,
           sum(begins) OVER (PARTITION BY bucket_id, unit ORDER BY at RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS part
    FROM (
        SELECT bucket_id, unit, kind, grant_id, place, amount, at, 0 AS begins FROM marks
        UNION ALL
        SELECT bucket_id, unit, 'end', grant_id, place, amount, until_at, 0 FROM marks WHERE kind = 'grant'
        UNION ALL
        SELECT bucket_id, unit, 'use', NULL, NULL, 0, at, 1
        FROM (
            SELECT bucket_id, unit, at FROM marks WHERE kind = 'grant'
            UNION
            SELECT bucket_id, unit, until_at FROM marks WHERE kind = 'grant'
        ) ends
    ) steps
)
SELECT bucket_id, unit, grant_id, max(place) AS place, max(amount) AS amount,
       min(part) FILTER (WHERE kind = 'grant') AS first, min(part) FILTER (WHERE kind = 'end') AS last
FROM numbered
WHERE grant_id IS NOT NULL
GROUP BY bucket_id, unit, grant_id
UNION ALL
SELECT bucket_id, unit, NULL, NULL, sum(amount), part, NULL
FROM numbered
WHERE grant_id IS NULL AND part > 0
GROUP BY bucket_id, unit, part;
