-- How full what is sold or used is: stock of products, cells of the network. 0 is empty, 1 is full.
--
-- Key: kind, resource_id. In: stock_movements, order_states, order_lines, metrics, fact_voids, the clock. stock: what was sold
-- in 28 days / (that + what is there); cover_days is how long it lasts. cell: the mean of the metric cell.load (used /
-- capacity) of the last hour. A corrected movement or a cancelled order changes it while it counts. A late one counts at its
-- own time.
CREATE MATERIALIZED VIEW load_index WITH (key = 'kind,resource_id') AS
WITH levels AS (
    SELECT offering_id, sum(CASE WHEN event_type LIKE '%reserved%' THEN -abs(delta) WHEN event_type LIKE '%released%' THEN abs(delta) ELSE delta END) AS level
    FROM stock_movements
    WHERE offering_id IS NOT NULL
    GROUP BY offering_id
), sold AS (
    SELECT l.offering_id, sum(l.quantity) AS sold
    FROM order_lines l
    JOIN order_states o ON o.order_id = l.order_id
    WHERE o.state NOT IN ('cancelled', 'rejected', 'failed') AND date_trunc('hour', o.ordered_at) > now() - INTERVAL '28 days'
    GROUP BY l.offering_id
)
SELECT 'stock' AS kind, s.offering_id AS resource_id, s.level::numeric(18, 3) AS capacity, coalesce(d.sold, 0)::numeric(18, 3) AS used,
       CASE WHEN s.level <= 0 THEN 1.0 ELSE round(coalesce(d.sold, 0)::numeric / (coalesce(d.sold, 0) + s.level), 4) END AS load,
       CASE WHEN d.sold > 0 THEN round(greatest(s.level, 0)::numeric * 28 / d.sold, 1) END AS cover_days
FROM levels s
LEFT JOIN sold d ON d.offering_id = s.offering_id
UNION ALL
SELECT 'cell', m.resource_id, 1.0::numeric(18, 3), avg(m.value)::numeric(18, 3), round(least(1.0, greatest(0.0, avg(m.value))), 4), NULL
FROM metrics m
LEFT JOIN (SELECT DISTINCT supersedes FROM fact_voids) v ON v.supersedes = m.event_id
WHERE m.metric_name = 'cell.load' AND m.resource_id IS NOT NULL AND v.supersedes IS NULL
  AND date_trunc('minute', m.measured_at) > now() - INTERVAL '1 hour'
GROUP BY m.resource_id;
