-- Five products for each customer, each with the reason.
--
-- Key: customer_id, place. In: item_similarity, order_states, order_lines, visits, subscription_states, offering_states,
-- customer_states, trending. What is similar to what the customer bought (10) or put in a cart (4), by the sum of weight x
-- cosine; less what was bought or is subscribed to, what is not sellable (lifecycle other than Active or Launched), and what
-- is of another region. Places that are left are filled by what trends. A cancelled order ceases to be a reason, and what it
-- held may be recommended again.
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
), candidates AS (
    SELECT customer_id, offering_id, score, 0 AS fallback, 'bought with ' || because_of AS reason FROM similar_ones
    UNION ALL
    SELECT c.customer_id, t.offering_id, t.score, 1, 'trending in ' || t.category
    FROM (SELECT customer_id FROM customer_states WHERE coalesce(status, 'active') = 'active' AND merged_into IS NULL) c
    CROSS JOIN (SELECT offering_id, category, score FROM trending WHERE hours = 24 ORDER BY score DESC, offering_id LIMIT 5) t
), allowed AS (
    SELECT c.customer_id, c.offering_id, c.score, c.fallback, c.reason
    FROM candidates c
    JOIN customer_states k ON k.customer_id = c.customer_id
    JOIN offering_states o ON o.offering_id = c.offering_id AND o.lifecycle IN ('Active', 'Launched')
    LEFT JOIN owned w ON w.customer_id = c.customer_id AND w.offering_id = c.offering_id
    WHERE w.offering_id IS NULL AND (o.region IS NULL OR o.region = k.country)
), once AS (
    SELECT DISTINCT ON (customer_id, offering_id) customer_id, offering_id, score, fallback, reason
    FROM allowed
    ORDER BY customer_id, offering_id, fallback, score DESC
)
SELECT customer_id, row_number() OVER (PARTITION BY customer_id ORDER BY fallback, score DESC, offering_id) AS place,
       offering_id, round(score, 4) AS score, reason
FROM once
QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY fallback, score DESC, offering_id) <= 5;
