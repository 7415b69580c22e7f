-- All about a customer in one row: who, what they have, owe, paid, complain of, and when they were last here.
--
-- Key: customer_id. In: customers, orders, subscriptions, invoices, payments, ticket_states, usage_guided, logins, revenue_lines,
-- the clock. One row per customer even with nothing. Events of a merged customer count for the one who goes on; the merged one
-- keeps a row with nothing in it. Late, corrected and cancelled events change what they change in the views it is made of, at the same time. Money
-- is in the currency of the row that it comes from: a customer with several has the sums in currencies that differ left NULL.
CREATE MATERIALIZED VIEW customer_360 WITH (key = 'customer_id') AS
WITH facts AS (
    SELECT customer_id, currency, CASE WHEN state NOT IN ('completed', 'cancelled', 'rejected', 'failed') THEN 1 ELSE 0 END AS open_orders,
           0 AS active_products, 0.00 AS mrr, 0.00 AS balance_due, NULL::date AS oldest_due_on, NULL::timestamp AS last_payment_at,
           0 AS open_tickets, 0.00 AS net_revenue, NULL::timestamp AS last_login_at
    FROM orders
    UNION ALL
    SELECT customer_id, currency, 0, CASE WHEN state = 'active' THEN 1 ELSE 0 END, mrr, 0, NULL, NULL, 0, 0, NULL FROM subscriptions
    UNION ALL
    SELECT customer_id, currency, 0, 0, 0, remaining, CASE WHEN overdue THEN due_on END, NULL, 0, 0, NULL FROM invoices
    UNION ALL
    SELECT customer_id, currency, 0, 0, 0, 0, NULL, changed_at, 0, 0, NULL FROM payments WHERE state IN ('captured', 'settled')
    UNION ALL
    SELECT customer_id, NULL, 0, 0, 0, 0, NULL, NULL, CASE WHEN status NOT IN ('closed', 'resolved', 'cancelled', 'rejected') THEN 1 ELSE 0 END, 0, NULL
    FROM ticket_states
    UNION ALL
    SELECT customer_id, currency, 0, 0, 0, 0, NULL, NULL, 0, amount, NULL FROM revenue_lines
    UNION ALL
    SELECT customer_id, NULL, 0, 0, 0, 0, NULL, NULL, 0, 0, max(logged_in_at)
    FROM logins
    WHERE event_type LIKE '%succeeded%'
    GROUP BY customer_id
), summed AS (
    SELECT coalesce(r.goes_on_as, f.customer_id) AS customer_id, sum(f.open_orders) AS open_orders,
           sum(f.active_products) AS active_products, min(f.currency) AS currency,
           CASE WHEN count(DISTINCT f.currency) <= 1 THEN sum(f.mrr) END AS mrr,
           CASE WHEN count(DISTINCT f.currency) <= 1 THEN sum(f.balance_due) END AS balance_due,
           min(f.oldest_due_on) AS oldest_due_on, max(f.last_payment_at) AS last_payment_at, sum(f.open_tickets) AS open_tickets,
           CASE WHEN count(DISTINCT f.currency) <= 1 THEN sum(f.net_revenue) END AS net_revenue,
           max(f.last_login_at) AS last_login_at
    FROM facts f
    LEFT JOIN customer_roots r ON r.customer_id = f.customer_id
    GROUP BY coalesce(r.goes_on_as, f.customer_id)
), used AS (
    SELECT coalesce(r.goes_on_as, g.customer_id) AS customer_id, count(*) AS records
    FROM usage_guided g
    LEFT JOIN customer_roots r ON r.customer_id = g.customer_id
    WHERE g.status = 'guided' AND g.used_at > now() - INTERVAL '30 days'
    GROUP BY coalesce(r.goes_on_as, g.customer_id)
)
SELECT c.customer_id, c.name, c.segment, c.country, c.status, c.goes_on_as, coalesce(s.open_orders, 0) AS open_orders,
       coalesce(s.active_products, 0) AS active_products, s.currency, CASE WHEN s.customer_id IS NULL THEN 0 ELSE s.mrr END AS mrr, CASE WHEN s.customer_id IS NULL THEN 0 ELSE s.balance_due END AS balance_due,
       s.oldest_due_on, s.last_payment_at, coalesce(s.open_tickets, 0) AS open_tickets, CASE WHEN s.customer_id IS NULL THEN 0 ELSE s.net_revenue END AS net_revenue,
       s.last_login_at, coalesce(u.records, 0) AS usage_records_30_days
FROM customers c
LEFT JOIN summed s ON s.customer_id = c.customer_id
LEFT JOIN used u ON u.customer_id = c.customer_id;
