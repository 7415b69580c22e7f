-- F12: customers who hang together by what they share.
--
-- Key: ring. In: fraud_links, fraud_labels, bill_states, customer_states. A ring is a connected part of the graph of
-- fraud_links (labels handed on until nothing changes; the name is its smallest customer) with 3 customers or more and 2 kinds
-- of ties or more. When a tie goes it may fall into two; revoking a label lowers its score. open_amount is what its customers
-- owe on bills, by currency. A tie or label that is told late counts at once.
CREATE MATERIALIZED VIEW fraud_rings WITH (key = 'ring') AS
WITH members AS (
    SELECT customer_id, ring FROM fraud_components
), frauds AS (
    SELECT customer_id, count(*) AS labels FROM fraud_labels
    WHERE coalesce(is_fraud, true) AND event_type NOT LIKE '%revoked%' AND customer_id IS NOT NULL
    GROUP BY customer_id
), customers AS (
    SELECT m.ring, count(*) AS customers, sum(coalesce(f.labels, 0)) AS labels, count(f.customer_id) AS fraudsters,
           min(c.created_at) AS first_created_at, max(c.created_at) AS last_created_at, max(coalesce(c.created_at, c.changed_at)) AS happened_at,
           array_to_string((array_agg(m.customer_id ORDER BY m.customer_id))[1:20], ',') AS evidence
    FROM members m
    LEFT JOIN frauds f ON f.customer_id = m.customer_id
    LEFT JOIN customer_states c ON c.customer_id = m.customer_id
    GROUP BY m.ring
    HAVING count(*) >= 3
), kinds AS (
    SELECT m.ring, count(DISTINCT l.kind) AS kinds, count(DISTINCT l.link) AS links,
           array_to_string((array_agg(DISTINCT l.link ORDER BY l.link))[1:20], ',') AS shared
    FROM members m
    JOIN fraud_links l ON l.customer_id = m.customer_id
    GROUP BY m.ring
    HAVING count(DISTINCT l.kind) >= 2
), owed AS (
    SELECT ring, string_agg(currency || ' ' || amount::text, ', ' ORDER BY currency) AS open_amount
    FROM (
        SELECT m.ring, b.currency, sum(b.gross) AS amount
        FROM members m
        JOIN bill_states b ON b.customer_id = m.customer_id AND b.state NOT IN ('voided', 'settled')
        GROUP BY m.ring, b.currency
    ) sums
    GROUP BY ring
)
SELECT 'F12' AS rule_id, 1 AS rule_version, 'ring/' || c.ring AS pivot, c.ring AS customer_id, c.ring, c.happened_at,
       c.customers, 3 AS customers_min, k.kinds, 2 AS kinds_min, k.links, c.fraudsters, c.labels, c.first_created_at, c.last_created_at, o.open_amount,
       least(1.0, round(0.3 + 0.02 * (c.customers - 3) + 0.1 * (k.kinds - 2) + 0.6 * c.fraudsters::numeric / c.customers, 4)) AS score,
       c.evidence, k.shared
FROM customers c
JOIN kinds k ON k.ring = c.ring
LEFT JOIN owed o ON o.ring = c.ring;
