-- How recently, how often and for how much each customer bought within 365 days, and the segment that follows from it.
--
-- Key: customer_id. In: order_states, refund_states, bill_states, credit_notes, the clock. bought_on is the day of the last
-- completed order that was not refunded in full; orders counts those; spent is what was billed without tax, less credit notes,
-- in euros. r, f, m are fifths by rank, 5 the best; ties go by customer_id. A cancelled order and a voided bill count for
-- nothing; a full refund takes the order out of r and f; what is 365 days old leaves without an event.
CREATE MATERIALIZED VIEW rfm WITH (key = 'customer_id') AS
WITH bought AS (
    SELECT o.customer_id, max(o.ordered_at)::date AS bought_on, count(*) AS orders
    FROM order_states o
    LEFT JOIN (
        SELECT order_id, sum(amount) AS refunded FROM refund_states WHERE state = 'done' GROUP BY order_id
    ) r ON r.order_id = o.order_id
    WHERE o.state = 'completed' AND o.customer_id IS NOT NULL AND coalesce(r.refunded, 0) < o.gross
      AND o.ordered_at > now() - INTERVAL '365 days'
    GROUP BY o.customer_id
), spent AS (
    SELECT customer_id, sum(amount) AS spent
    FROM (
        SELECT customer_id, billed_on AS day, net AS amount FROM bill_states WHERE state <> 'voided' AND currency = 'EUR'
        UNION ALL
        SELECT customer_id, issued_on, -amount FROM credit_notes
        WHERE coalesce(state, '') <> 'voided' AND currency = 'EUR'
    ) movements
    WHERE day > now() - INTERVAL '365 days'
    GROUP BY customer_id
), ranked AS (
    SELECT b.customer_id, b.bought_on, b.orders, coalesce(s.spent, 0) AS spent,
           ntile(5) OVER (ORDER BY b.bought_on, b.customer_id) AS r,
           ntile(5) OVER (ORDER BY b.orders, b.customer_id) AS f,
           ntile(5) OVER (ORDER BY coalesce(s.spent, 0), b.customer_id) AS m
    FROM bought b
    LEFT JOIN spent s ON s.customer_id = b.customer_id
)
SELECT customer_id, bought_on, orders, spent, r, f, m,
       CASE WHEN r = 5 AND f = 5 THEN 'champion' WHEN r >= 4 AND f >= 3 THEN 'loyal' WHEN r >= 4 THEN 'new'
            WHEN r <= 2 AND f >= 4 THEN 'at risk' WHEN r = 1 AND f <= 2 THEN 'lost' ELSE 'regular' END AS segment
FROM ranked;
