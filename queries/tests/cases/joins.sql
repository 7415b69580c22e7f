SELECT a.id, b.id AS bid FROM a JOIN b ON a.v < b.w
SELECT a.id, b.id AS bid FROM a LEFT JOIN b ON a.v < b.w
SELECT a.id, b.id AS bid FROM a RIGHT JOIN b ON a.v < b.w AND a.k > b.k
SELECT a.id, b.id AS bid FROM a LEFT JOIN b ON a.v + 3 < b.w
SELECT a.id, b.id AS bid FROM a JOIN b ON a.v BETWEEN b.w - 1 AND b.w + 1
SELECT a.id, b.id AS bid FROM a JOIN b ON a.k = b.k OR a.t = b.u
SELECT a.id, b.id AS bid FROM a LEFT JOIN b ON a.k = b.k OR a.v = b.w
SELECT a.id, b.id AS bid FROM a LEFT JOIN b ON a.k = b.k OR a.t = b.u
SELECT a.id, b.id AS bid FROM a JOIN b ON length(a.t) <> length(b.u)
SELECT a.t, b.u FROM a JOIN b ON a.k = b.k AND a.v BETWEEN b.w - 2 AND b.w
SELECT a.id, b.id AS bid FROM a CROSS JOIN b
SELECT a.t, b.u FROM a, b
SELECT a.t, b.u FROM a LEFT JOIN b ON true
SELECT a.id, b.id AS bid FROM a FULL JOIN b ON true
SELECT a.id, x.n FROM a CROSS JOIN (VALUES (1), (2), (2)) AS x(n)
SELECT a.id, b.id AS bid, c.id AS cid FROM a, b, c WHERE a.k = b.k AND b.w > c.n
SELECT a.id, o.id AS oid FROM a JOIN a AS o ON a.k = o.k AND a.id < o.id
SELECT a.id, o.id AS oid, p.id AS pid FROM a JOIN a AS o ON a.k = o.k JOIN a AS p ON o.v = p.v
SELECT a.id, b.id AS bid FROM a JOIN b ON a.k IS NOT DISTINCT FROM b.k
SELECT a.id, b.id AS bid FROM a JOIN b ON (a.k IS NOT DISTINCT FROM b.k) AND a.t = b.u
SELECT a.id, b.id AS bid FROM a JOIN b ON a.k IS NOT DISTINCT FROM b.k WHERE a.t = b.u
SELECT a.id, b.id AS bid FROM a JOIN b ON (a.k IS NOT DISTINCT FROM b.k) AND a.t IS NOT DISTINCT FROM b.u
SELECT a.id, b.id AS bid FROM a LEFT JOIN b ON (a.k IS NOT DISTINCT FROM b.k) AND a.v < b.w
SELECT k, a.id AS aid, b.id AS bid FROM a JOIN b USING (k)
SELECT k, a.id AS aid, b.id AS bid FROM a LEFT JOIN b USING (k)
SELECT k, a.id AS aid, b.id AS bid FROM a RIGHT JOIN b USING (k)
SELECT k, a.id AS aid, b.id AS bid FROM a FULL JOIN b USING (k)
SELECT k, a.k AS ak, b.k AS bk FROM a FULL JOIN b USING (k) WHERE k > 1
SELECT k, count(*) AS n FROM a FULL JOIN b USING (k) GROUP BY k HAVING count(*) > 1
SELECT k + 1 AS more FROM a RIGHT JOIN b USING (k)
SELECT * FROM (SELECT k, v FROM a) AS x FULL JOIN (SELECT k, w FROM b) AS y USING (k)
SELECT * FROM (SELECT v, k FROM a) AS x JOIN (SELECT w, k FROM b) AS y USING (k)
SELECT * FROM (SELECT id, v FROM a) AS x FULL JOIN (SELECT id, w FROM b) AS y USING (id) FULL JOIN (SELECT id, n FROM c) AS z USING (id)
SELECT * FROM (SELECT id, k, v FROM a) AS x NATURAL FULL JOIN (SELECT k, w FROM b) AS y
SELECT * FROM (SELECT id, k FROM a) AS x NATURAL JOIN (SELECT id, k FROM b) AS y
SELECT * FROM (SELECT v FROM a) AS x NATURAL JOIN (SELECT w FROM b) AS y
WITH x AS (SELECT k, v FROM a), y AS (SELECT k, w FROM b) SELECT * FROM x RIGHT JOIN y USING (k)
SELECT x.k AS xk, k, w FROM (SELECT k, v FROM a) AS x RIGHT JOIN (SELECT k, w FROM b) AS y USING (k) ORDER BY k, w LIMIT 5
SELECT a.id, c.id AS cid FROM a LEFT JOIN (b JOIN c ON b.k = c.k) ON a.id = b.id
SELECT a.id, m.m FROM a JOIN (SELECT max(w) AS m FROM b) AS m ON a.v > m.m - 4
SELECT a.id FROM a WHERE a.v > (SELECT avg(w) FROM b)
SELECT a.id, b.id AS bid FROM a LEFT JOIN b ON a.k = b.k AND a.v > 2 AND b.w > 2
SELECT a.id, b.id AS bid FROM a RIGHT JOIN b ON a.k = b.k AND a.v > 2
SELECT a.id, b.id AS bid FROM a LEFT JOIN b ON a.k = b.k WHERE b.id IS NULL
SELECT a.id, b.id AS bid FROM a FULL JOIN b ON a.k = b.k WHERE a.id IS NULL OR b.id IS NULL
