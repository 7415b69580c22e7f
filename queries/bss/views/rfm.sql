-- How recently, how often and for how much each customer bought within 365 days, and the segment that follows from it.
--
-- Key: customer_id, currency. In: order_to_cash, refund_states, bill_states, credit_notes, customer_roots, the clock. bought_on is the
-- day of the last order that was paid and not refunded in full; orders counts those; spent is what was billed without tax, less
-- credit notes. r, f, m are fifths by rank within the currency, 5 the best; ties go by customer_id. A cancelled order, a failed
-- payment and a voided bill count for nothing; a full refund takes the order out of r and f; what is 365 days old leaves without an
-- event. A merged customer counts under the one who goes on. champion: r and f 5; loyal: r 4 or 5, f 3 or more; new: r 4 or 5;
-- at risk: r 1 or 2, f 4 or 5; lost: r 1, f 1 or 2. Late and corrected orders, payments and bills count as they are known now.
CREATE MATERIALIZED VIEW rfm WITH (key = 'customer_id,currency') AS
WITH bought AS (
    SELECT coalesce(c.goes_on_as, o.customer_id) AS customer_id, o.currency, max(o.ordered_at)::date AS bought_on, count(*) AS orders
    FROM order_to_cash o
    LEFT JOIN (
        SELECT order_id, sum(amount) AS refunded FROM refund_states WHERE state = 'done' GROUP BY order_id
    ) r ON r.order_id = o.order_id
    LEFT JOIN customer_roots c ON c.customer_id = o.customer_id
    WHERE o.stage = 'paid' AND o.customer_id IS NOT NULL AND o.currency IS NOT NULL AND coalesce(r.refunded, 0) < o.gross
      AND o.ordered_at > now() - INTERVAL '365 days'
    GROUP BY coalesce(c.goes_on_as, o.customer_id), o.currency
), spent AS (
    SELECT coalesce(c.goes_on_as, m.customer_id) AS customer_id, m.currency, sum(m.amount) AS spent
    FROM (
        SELECT customer_id, currency, billed_on AS day, net AS amount FROM bill_states WHERE state <> 'voided'
        UNION ALL
        SELECT customer_id, currency, issued_on, -amount FROM credit_notes WHERE coalesce(state, '') <> 'voided'
    ) m
    LEFT JOIN customer_roots c ON c.customer_id = m.customer_id
    WHERE m.day > now() - INTERVAL '365 days'
    GROUP BY coalesce(c.goes_on_as, m.customer_id), m.currency
), ranked AS (
    SELECT b.customer_id, b.currency, b.bought_on, b.orders, coalesce(s.spent, 0) AS spent,
           ntile(5) OVER (PARTITION BY b.currency ORDER BY b.bought_on, b.customer_id) AS r,
           ntile(5) OVER (PARTITION BY b.currency ORDER BY b.orders, b.customer_id) AS f,
           ntile(5) OVER (PARTITION BY b.currency ORDER BY coalesce(s.spent, 0), b.customer_id) AS m
    FROM bought b
    LEFT JOIN spent s ON s.customer_id = b.customer_id AND s.currency = b.currency
)
SELECT customer_id, currency, bought_on, orders, spent, r, f, m,
       CASE WHEN r = 5 AND f = 5 THEN 'champion' WHEN r >= 4 AND f >= 3 THEN 'loyal' WHEN r >= 4 THEN 'new'
            WHEN r <= 2 AND f >= 4 THEN 'at risk' WHEN r = 1 AND f <= 2 THEN 'lost' ELSE 'regular' END AS segment
FROM ranked;
