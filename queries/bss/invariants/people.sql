-- Each of these has no row, at any time: a row is somebody, or something they did, that was lost or counted twice.

-- Every customer has one row.
CREATE MATERIALIZED VIEW inv_customers_have_a_row AS
SELECT customer_id, sum(n) AS n
FROM (
    SELECT customer_id, 1 AS n FROM customer_360
    UNION ALL
    SELECT customer_id, -1 FROM customer_states
) f
GROUP BY customer_id
HAVING sum(n) <> 0;

-- The row of a customer is the join of its parts.
CREATE MATERIALIZED VIEW inv_customers_are_their_parts AS
SELECT c.customer_id, sum(f.products) AS products, sum(f.mrr) AS mrr, sum(f.due) AS due, sum(f.orders) AS orders
FROM (
    SELECT customer_id, active_products AS products, mrr, balance_due AS due, open_orders AS orders
    FROM customer_360
    UNION ALL
    SELECT coalesce(r.goes_on_as, s.customer_id), CASE WHEN s.state = 'active' THEN -1 ELSE 0 END, -s.mrr, 0, 0
    FROM subscriptions s LEFT JOIN customer_roots r ON r.customer_id = s.customer_id
    UNION ALL
    SELECT coalesce(r.goes_on_as, i.customer_id), 0, 0, -i.remaining, 0
    FROM invoices i LEFT JOIN customer_roots r ON r.customer_id = i.customer_id
    UNION ALL
    SELECT coalesce(r.goes_on_as, o.customer_id), 0, 0, 0, -1
    FROM orders o LEFT JOIN customer_roots r ON r.customer_id = o.customer_id
    WHERE o.state NOT IN ('completed', 'cancelled', 'rejected', 'failed')
) f
JOIN customer_360 c ON c.customer_id = f.customer_id
-- Money in several currencies is not added.
WHERE c.mrr IS NOT NULL AND c.balance_due IS NOT NULL
GROUP BY c.customer_id
HAVING sum(f.products) <> 0 OR sum(f.mrr) <> 0 OR sum(f.due) <> 0 OR sum(f.orders) <> 0;

-- What was done in sessions is what was done in the shop.
CREATE MATERIALIZED VIEW inv_sessions_are_activity AS
SELECT visitor, sum(events) AS astray
FROM (
    SELECT visitor, events FROM sessions
    UNION ALL
    SELECT visitor, -events FROM activity_5m
) f
GROUP BY visitor
HAVING sum(events) <> 0;

-- Who shares a tie is in one and the same ring.
CREATE MATERIALIZED VIEW inv_ties_are_in_one_ring AS
SELECT l.link, count(DISTINCT c.ring) AS rings, count(*) AS customers, count(c.ring) AS placed
FROM fraud_links l
LEFT JOIN fraud_components c ON c.customer_id = l.customer_id
GROUP BY l.link
HAVING count(DISTINCT c.ring) <> 1 OR count(c.ring) <> count(*);

-- A ring is named by the first of its customers, whoever came first; every customer is in it once.
CREATE MATERIALIZED VIEW inv_rings_have_their_name AS
SELECT ring, min(customer_id) AS first_customer_id, count(*) AS customers, count(DISTINCT customer_id) AS different
FROM fraud_components
GROUP BY ring
HAVING min(customer_id) <> ring OR count(*) <> count(DISTINCT customer_id);

-- One alert of a rule at a pivot is open.
CREATE MATERIALIZED VIEW inv_one_alert_is_open AS
SELECT rule_id, pivot, count(*) AS alerts
FROM fraud_alerts
WHERE state = 'open'
GROUP BY rule_id, pivot
HAVING count(*) > 1;

-- The hits of an alert are there, and every hit is in one alert.
CREATE MATERIALIZED VIEW inv_alerts_have_their_hits AS
SELECT a.rule_id, a.pivot, a.opened_at, a.hits, count(h.hit_id) AS found
FROM fraud_alerts a
LEFT JOIN fraud_hits h ON h.rule_id = a.rule_id AND h.pivot = a.pivot AND h.happened_at >= a.opened_at AND h.happened_at <= a.last_at
WHERE a.evidence IS NOT NULL
GROUP BY a.rule_id, a.pivot, a.opened_at, a.hits
HAVING count(h.hit_id) <> a.hits;
CREATE MATERIALIZED VIEW inv_hits_are_in_alerts AS
SELECT rule_id, pivot, sum(hits) AS astray
FROM (
    SELECT rule_id, pivot, hits FROM fraud_alerts
    UNION ALL
    SELECT rule_id, pivot, -1 FROM fraud_hits
) f
GROUP BY rule_id, pivot
HAVING sum(hits) <> 0;

-- One product is as similar to another as that to it, and they are not bought together more often than alone. (A product with
-- more than 50 similar ones leaves some out.)
CREATE MATERIALIZED VIEW inv_similarity_is_mutual AS
SELECT a.offering_id, a.other_id, a.support, b.support AS other_support
FROM item_similarity a
LEFT JOIN item_similarity b ON b.offering_id = a.other_id AND b.other_id = a.offering_id
LEFT JOIN (SELECT offering_id FROM item_similarity GROUP BY offering_id HAVING count(*) >= 50) full_ones
       ON full_ones.offering_id = a.other_id
WHERE (b.offering_id IS NULL AND full_ones.offering_id IS NULL) OR a.support <> b.support OR a.cosine <> b.cosine
   OR a.support > a.baskets OR a.support > a.other_baskets;

-- The pairs of all baskets are those that are kept, and those that were bought once. (As long as no product has more than 50
-- similar ones.)
CREATE MATERIALIZED VIEW inv_similarity_is_of_baskets AS
WITH baskets AS (
    SELECT DISTINCT l.order_id, l.offering_id
    FROM order_lines l
    JOIN order_states o ON o.order_id = l.order_id
    WHERE o.state NOT IN ('cancelled', 'rejected', 'failed') AND l.offering_id IS NOT NULL AND coalesce(l.action, 'add') = 'add'
)
SELECT sum(pairs) AS astray
FROM (
    SELECT size * (size - 1) AS pairs
    FROM (SELECT order_id, count(*) AS size FROM baskets GROUP BY order_id) sizes
    WHERE size <= 100
    UNION ALL
    SELECT -support FROM item_similarity
    UNION ALL
    SELECT -1
    FROM (
        SELECT a.offering_id, b.offering_id AS other_id
        FROM baskets a
        JOIN baskets b ON b.order_id = a.order_id AND b.offering_id <> a.offering_id
        GROUP BY a.offering_id, b.offering_id
        HAVING count(*) = 1
    ) once
) f
HAVING sum(pairs) <> 0;
