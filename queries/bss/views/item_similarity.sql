-- Which products are bought together, in both directions.
--
-- Key: offering_id, other_id. In: order_states, order_lines. A basket is the different products of an order that was not
-- cancelled; baskets of more than 100 are left out, for their pairs would be too many (baskets_left_out counts those with the
-- product). Pairs in 2 baskets or more are kept, the 50 most similar of each product. confidence is the share of its baskets
-- that hold the other, lift how much more often than by chance. A cancelled order takes its pairs back; a late one adds them.
-- An amended order gives the pairs of its new lines.
CREATE MATERIALIZED VIEW item_similarity WITH (key = 'offering_id,other_id') AS
WITH sizes AS (
    SELECT l.order_id, count(DISTINCT l.offering_id) AS size
    FROM order_lines l
    JOIN order_states o ON o.order_id = l.order_id
    WHERE o.state NOT IN ('cancelled', 'rejected', 'failed') AND l.offering_id IS NOT NULL AND coalesce(l.action, 'add') = 'add'
    GROUP BY l.order_id
), baskets AS (
    SELECT DISTINCT l.order_id, l.offering_id
    FROM order_lines l
    JOIN sizes s ON s.order_id = l.order_id AND s.size <= 100
    WHERE l.offering_id IS NOT NULL AND coalesce(l.action, 'add') = 'add'
), counts AS (
    SELECT offering_id, count(*) AS n FROM baskets GROUP BY offering_id
), total AS (
    SELECT count(*) AS n FROM sizes WHERE size <= 100
), left_out AS (
    SELECT l.offering_id, count(DISTINCT l.order_id) AS n
    FROM order_lines l
    JOIN sizes s ON s.order_id = l.order_id AND s.size > 100
    GROUP BY l.offering_id
), pairs AS (
    SELECT a.offering_id, b.offering_id AS other_id, count(*) AS n
    FROM baskets a
    JOIN baskets b ON b.order_id = a.order_id AND b.offering_id <> a.offering_id
    GROUP BY a.offering_id, b.offering_id
    HAVING count(*) >= 2
), rated AS (
    SELECT p.offering_id, p.other_id, p.n AS support, a.n AS baskets, b.n AS other_baskets,
           round((p.n / sqrt(a.n::double precision * b.n))::numeric, 6) AS cosine
    FROM pairs p
    JOIN counts a ON a.offering_id = p.offering_id
    JOIN counts b ON b.offering_id = p.other_id
), best AS (
    SELECT offering_id, other_id, support, baskets, other_baskets, cosine
    FROM rated
    QUALIFY row_number() OVER (PARTITION BY offering_id ORDER BY cosine DESC, support DESC, other_id) <= 50
)
SELECT r.offering_id, r.other_id, r.support, r.baskets, r.other_baskets, r.cosine,
       round(r.support::numeric / r.baskets, 6) AS confidence,
       round(r.support::numeric / (r.baskets + r.other_baskets - r.support), 6) AS jaccard,
       round(r.support::numeric * t.n / (r.baskets * r.other_baskets), 6) AS lift,
       100 AS basket_size_max, coalesce(x.n, 0) AS baskets_left_out
FROM best r
CROSS JOIN total t
LEFT JOIN left_out x ON x.offering_id = r.offering_id;
