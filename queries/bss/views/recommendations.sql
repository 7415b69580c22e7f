-- Five products for each customer, each with the reason.
--
-- Key: customer_id, place. In: item_similarity, order_states, order_lines, visits, subscription_states, offering_states,
-- customer_states, trending_daily. What is similar to what the customer bought (10) or put in a cart (4), by the sum of weight x
-- cosine; less what was bought or is subscribed to, what is not sellable (lifecycle other than Active or Launched), and what
-- is of another region. Places that are left are filled by what trended on the last full day, so they change once a day. A cancelled
-- order ceases to be a reason, and what it held may be recommended again. Late and corrected orders and carts count as soon as
-- they are known.
CREATE MATERIALIZED VIEW recommendations WITH (key = 'customer_id,place') AS
WITH bought AS (
    SELECT DISTINCT o.customer_id, l.offering_id
    FROM order_states o
    JOIN order_lines l ON l.order_id = o.order_id
    WHERE o.state NOT IN ('cancelled', 'rejected', 'failed') AND o.customer_id IS NOT NULL AND l.offering_id IS NOT NULL
), owned AS (
    SELECT customer_id, offering_id FROM bought
    UNION
    SELECT customer_id, offering_id FROM subscription_states
    WHERE state NOT IN ('terminated', 'cancelled', 'aborted') AND customer_id IS NOT NULL AND offering_id IS NOT NULL
), likes AS (
    SELECT customer_id, offering_id, max(weight) AS weight
    FROM (
        SELECT customer_id, offering_id, 10 AS weight FROM bought
        UNION ALL
        SELECT customer_id, offering_id, 4 FROM visits WHERE kind = 'cart' AND customer_id IS NOT NULL AND offering_id IS NOT NULL
    ) acts
    GROUP BY customer_id, offering_id
), similar_ones AS (
    SELECT l.customer_id, s.other_id AS offering_id, sum(l.weight * s.cosine) AS score,
           (array_agg(l.offering_id ORDER BY l.weight * s.cosine DESC, l.offering_id))[1] AS because_of
    FROM likes l
    JOIN item_similarity s ON s.offering_id = l.offering_id
    GROUP BY l.customer_id, s.other_id
), own AS (
    SELECT * FROM (
        SELECT c.customer_id, c.offering_id, c.score, 'bought with ' || c.because_of AS reason,
               row_number() OVER (PARTITION BY c.customer_id ORDER BY c.score DESC, c.offering_id) AS place
        FROM similar_ones c
        JOIN customer_states k ON k.customer_id = c.customer_id
        JOIN offering_states o ON o.offering_id = c.offering_id AND o.lifecycle IN ('Active', 'Launched')
        LEFT JOIN owned w ON w.customer_id = c.customer_id AND w.offering_id = c.offering_id
        WHERE w.offering_id IS NULL AND (o.region IS NULL OR o.region = k.country)
    ) ranked
    WHERE place <= 5
), lacking AS (
    SELECT k.customer_id, k.country, coalesce(n.places, 0) AS places
    FROM customer_states k
    LEFT JOIN (SELECT customer_id, count(*) AS places FROM own GROUP BY customer_id) n ON n.customer_id = k.customer_id
    WHERE coalesce(k.status, 'active') = 'active' AND k.merged_into IS NULL AND coalesce(n.places, 0) < 5
), filling AS (
    SELECT k.customer_id, k.places, t.offering_id, t.score, 'trending in ' || t.category AS reason
    FROM lacking k
    CROSS JOIN (SELECT offering_id, category, score FROM trending_daily ORDER BY score DESC, offering_id LIMIT 5) t
    JOIN offering_states o ON o.offering_id = t.offering_id AND o.lifecycle IN ('Active', 'Launched')
    LEFT JOIN owned w ON w.customer_id = k.customer_id AND w.offering_id = t.offering_id
    LEFT JOIN own a ON a.customer_id = k.customer_id AND a.offering_id = t.offering_id
    WHERE w.offering_id IS NULL AND a.offering_id IS NULL AND (o.region IS NULL OR o.region = k.country)
)
SELECT customer_id, place, offering_id, round(score, 4) AS score, reason FROM own
UNION ALL
SELECT customer_id, places + row_number() OVER (PARTITION BY customer_id, places ORDER BY score DESC, offering_id), offering_id, round(score, 4), reason
FROM filling
QUALIFY places + row_number() OVER (PARTITION BY customer_id, places ORDER BY score DESC, offering_id) <= 5;
