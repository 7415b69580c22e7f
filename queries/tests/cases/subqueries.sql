SELECT id, EXISTS (SELECT 1 FROM b WHERE b.k = a.k) AS e FROM a
SELECT id, NOT EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.w > a.v) AS e FROM a
SELECT id, EXISTS (SELECT 1 FROM b WHERE b.w > 100) AS e FROM a
SELECT id, k IN (SELECT k FROM b) AS e FROM a
SELECT id, k NOT IN (SELECT k FROM b) AS e FROM a
SELECT id, k NOT IN (SELECT k FROM b WHERE k IS NOT NULL) AS e FROM a
SELECT id, k IN (SELECT b.k FROM b WHERE b.w > a.v) AS e FROM a
SELECT id, k NOT IN (SELECT b.k FROM b WHERE b.w = a.v) AS e FROM a
SELECT id, k IN (SELECT w FROM b WHERE w > 100) AS e FROM a
SELECT id FROM a WHERE k NOT IN (SELECT b.k FROM b WHERE b.w > a.v)
SELECT id FROM a WHERE k NOT IN (SELECT b.k FROM b WHERE b.u = a.t)
SELECT id FROM a WHERE k NOT IN (SELECT k FROM b)
SELECT id FROM a WHERE k IN (SELECT b.k FROM b WHERE b.w <> a.v)
SELECT id FROM a WHERE NOT (k IN (SELECT b.k FROM b WHERE b.w > 3))
SELECT id FROM a WHERE (k IN (SELECT b.k FROM b WHERE b.w > 3)) IS NULL
SELECT id FROM a WHERE k IN (SELECT k FROM b) OR v > 3
SELECT id FROM a WHERE k NOT IN (SELECT w FROM b) OR v > 3
SELECT id FROM a WHERE v > 3 OR EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.w > a.v)
SELECT id FROM a WHERE CASE WHEN EXISTS (SELECT 1 FROM b WHERE b.k = a.k) THEN v > 2 ELSE v < 2 END
SELECT id, CASE WHEN v > 2 THEN (SELECT max(w) FROM b WHERE b.k = a.k) ELSE (SELECT min(w) FROM b WHERE b.k = a.k) END AS m FROM a
SELECT id, (SELECT max(w) FROM b WHERE b.w < a.v) AS m FROM a
SELECT id, (SELECT count(*) FROM b WHERE b.w < a.v) AS m FROM a
SELECT id, (SELECT count(*) FROM b WHERE b.k = a.k) AS m FROM a
SELECT id, (SELECT count(w) + 1 FROM b WHERE b.k = a.k) AS m FROM a
SELECT id, (SELECT COALESCE(sum(w), -1) FROM b WHERE b.k = a.k) AS m FROM a
SELECT id, (SELECT count(*) FROM b WHERE b.k IS NOT DISTINCT FROM a.k) AS m FROM a
SELECT id, (SELECT count(*) FROM b WHERE a.k IS NULL) AS m FROM a
SELECT id, (SELECT sum(w) + a.v FROM b WHERE b.k = a.k) AS m FROM a
SELECT id, (SELECT sum(w + a.v) FROM b WHERE b.k = a.k) AS m FROM a
SELECT id, (SELECT b.w FROM b WHERE b.id = a.id) AS m FROM a
SELECT id, (SELECT w FROM b WHERE b.k = a.k ORDER BY w DESC, id LIMIT 1) AS m FROM a
SELECT id, (SELECT w FROM b WHERE b.k < a.k ORDER BY w NULLS FIRST, id LIMIT 1 OFFSET 1) AS m FROM a
SELECT id, (SELECT max(w) FROM b WHERE b.k = a.k GROUP BY b.k) AS m FROM a
SELECT id, (SELECT max(w) FROM b WHERE b.k = a.k HAVING max(w) > 3) AS m FROM a
SELECT id, (SELECT max(w) FROM b) - v AS m FROM a
SELECT id, (SELECT id FROM b WHERE id = 3) AS m FROM a
SELECT id FROM a WHERE v = (SELECT max(o.v) FROM a AS o WHERE o.k = a.k)
SELECT id FROM a WHERE v >= (SELECT avg(o.v) FROM a AS o WHERE o.t = a.t AND o.k <> a.k)
SELECT id FROM a WHERE (SELECT count(*) FROM b WHERE b.k = a.k) = 0
SELECT id FROM a WHERE (SELECT count(*) FROM b WHERE b.k = a.k) > (SELECT count(*) FROM c WHERE c.k = a.k)
SELECT id FROM a WHERE v = ANY (SELECT w FROM b WHERE b.k = a.k)
SELECT id, v < ANY (SELECT w FROM b WHERE b.k = a.k) AS m FROM a
SELECT id, v >= ALL (SELECT w FROM b WHERE b.k = a.k) AS m FROM a
SELECT id, v <> ALL (SELECT w FROM b) AS m FROM a
SELECT id, v <> ANY (SELECT w FROM b WHERE b.k = a.k) AS m FROM a
SELECT id, v = ALL (SELECT w FROM b WHERE b.k = a.k) AS m FROM a
SELECT id FROM a WHERE v > ALL (SELECT w FROM b WHERE w < 3)
SELECT id FROM a WHERE v > SOME (SELECT w FROM b WHERE b.id <> a.id)
SELECT k, sum(v) AS s FROM a GROUP BY k HAVING sum(v) > (SELECT avg(w) FROM b)
SELECT k, sum(v) AS s FROM a GROUP BY k HAVING sum(v) > (SELECT sum(b.w) FROM b WHERE b.k = a.k)
SELECT k, count(*) AS n, (SELECT max(w) FROM b WHERE b.k = a.k) AS m FROM a GROUP BY k
SELECT k, sum((SELECT count(*) FROM b WHERE b.k = a.k)) AS s FROM a GROUP BY k
SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k)) AS n FROM a
SELECT (SELECT max(w) FROM b WHERE b.k = a.k) AS m, count(*) AS n FROM a GROUP BY 1
SELECT id FROM a ORDER BY (SELECT max(w) FROM b WHERE b.k = a.k) DESC NULLS LAST, id LIMIT 4
SELECT a.id, b.id AS bid FROM a JOIN b ON a.k = b.k AND EXISTS (SELECT 1 FROM c WHERE c.k = a.k AND c.n > b.w)
SELECT a.id, b.id AS bid FROM a LEFT JOIN b ON a.k = b.k AND a.v IN (SELECT c.n FROM c)
SELECT a.id, b.id AS bid FROM a LEFT JOIN b ON a.k = b.k AND EXISTS (SELECT 1 FROM c WHERE c.k = b.w)
SELECT a.id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND EXISTS (SELECT 1 FROM c WHERE c.k = b.k AND c.n = a.v))
SELECT a.id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND NOT EXISTS (SELECT 1 FROM c WHERE c.n = a.v))
SELECT a.id, (SELECT count(*) FROM b WHERE b.k = a.k AND b.w > (SELECT avg(c.n) FROM c WHERE c.k = a.k)) AS m FROM a
SELECT a.id FROM a WHERE a.v IN (SELECT b.w FROM b WHERE b.k IN (SELECT c.k FROM c WHERE c.n < a.k))
SELECT a.id FROM a WHERE EXISTS (SELECT * FROM a AS x LEFT JOIN LATERAL (SELECT * FROM b) AS y ON a.k = y.k)
SELECT a.id FROM a WHERE EXISTS (SELECT 1 FROM b FULL JOIN c ON b.k = c.k WHERE c.n = a.v OR b.w = a.k OR c.k = a.k)
SELECT a.id, (SELECT count(*) FROM b LEFT JOIN c ON b.k = c.k AND c.n < a.v) AS m FROM a
SELECT a.id, (SELECT count(*) FROM b RIGHT JOIN c ON b.k = c.k AND b.w < a.v) AS m FROM a
SELECT a.id, (SELECT count(*) FROM b FULL JOIN c ON b.w = c.n WHERE c.n < a.v) AS m FROM a
SELECT a.id, (SELECT count(DISTINCT x) FROM (SELECT b.w AS x FROM b WHERE b.k = a.k UNION ALL SELECT c.n FROM c WHERE c.n > a.v) AS u) AS m FROM a
SELECT a.id, (SELECT sum(x) FROM (SELECT DISTINCT b.w + a.v AS x FROM b) AS u) AS m FROM a
SELECT a.id, (SELECT sum(s) FROM (SELECT b.k, sum(b.w) AS s FROM b WHERE b.w > a.v GROUP BY b.k) AS u) AS m FROM a
SELECT a.id, x.w FROM a, LATERAL (SELECT b.w FROM b WHERE b.k = a.k) AS x
SELECT a.id, x.w FROM a LEFT JOIN LATERAL (SELECT b.w FROM b WHERE b.k = a.k AND b.w > a.v) AS x ON true
SELECT a.id, x.w FROM a LEFT JOIN LATERAL (SELECT b.w, b.u FROM b WHERE b.k = a.k) AS x ON x.u = a.t
SELECT a.id, x.n, x.s FROM a CROSS JOIN LATERAL (SELECT count(*) AS n, sum(b.w) AS s FROM b WHERE b.k = a.k) AS x
SELECT a.id, x.n FROM a JOIN LATERAL (SELECT count(*) AS n FROM b WHERE b.w < a.v) AS x ON x.n > 1
SELECT a.id, x.bid, x.w FROM a CROSS JOIN LATERAL (SELECT b.id AS bid, b.w FROM b WHERE b.k = a.k ORDER BY b.w DESC NULLS LAST, b.id LIMIT 2) AS x
SELECT a.id, x.bid FROM a LEFT JOIN LATERAL (SELECT b.id AS bid FROM b WHERE b.w >= a.v ORDER BY b.w, b.id LIMIT 1) AS x ON true
SELECT a.id, x.bid FROM a LEFT JOIN LATERAL (SELECT b.id AS bid FROM b WHERE b.w >= a.v ORDER BY b.w, b.id OFFSET 1 LIMIT 1) AS x ON true
SELECT a.id, x.s FROM a, LATERAL (SELECT a.v + 1 AS s) AS x
SELECT a.id, x.s FROM a, LATERAL (VALUES (a.v), (a.k)) AS x(s)
SELECT a.id, x.s, y.n FROM a, LATERAL (SELECT sum(b.w) AS s FROM b WHERE b.k = a.k) AS x, LATERAL (SELECT count(*) AS n FROM c WHERE c.n < x.s) AS y
SELECT a.id, x.bid, x.cid FROM a, LATERAL (SELECT b.id AS bid, y.cid FROM b, LATERAL (SELECT c.id AS cid FROM c WHERE c.n = b.w AND c.k <> a.k) AS y WHERE b.k = a.k) AS x
SELECT a.id, x.id AS bid FROM a, LATERAL (SELECT * FROM b WHERE b.k = a.k) AS x WHERE x.w IN (SELECT c.n FROM c WHERE c.k = x.k)
SELECT x.id, x.m FROM (SELECT id, k, (SELECT max(w) FROM b WHERE b.k = a.k) AS m FROM a) AS x WHERE x.m > 2
SELECT k, m FROM (SELECT k, v, (SELECT max(w) FROM b WHERE b.k = a.k) AS m FROM a) AS x WHERE v = m
SELECT (SELECT max(v) FROM a) AS x, (SELECT count(*) FROM b) AS y
SELECT id FROM a WHERE v > 2 AND EXISTS (SELECT 1 FROM b WHERE b.k = a.k) AND k IN (SELECT k FROM c) AND v < (SELECT max(w) FROM b)
WITH m AS (SELECT k, max(w) AS m FROM b GROUP BY k) SELECT id, (SELECT m.m FROM m WHERE m.k = a.k) AS m FROM a
SELECT a.id, EXISTS (SELECT count(*) FROM b WHERE b.k = a.k) AS e FROM a
SELECT a.id, (SELECT max(b.w) FROM b WHERE b.k = a.k AND a.v > 2) AS e FROM a
SELECT a.id, (SELECT count(*) FROM b WHERE b.k = a.k AND a.v > 2) AS e FROM a
SELECT a.id FROM a WHERE v > (SELECT count(*) FROM b WHERE b.k = a.k) ORDER BY id
