-- All about a customer in one row: who, what they have, owe, paid, complain of, and when they were last here.
--
-- Key: customer_id. In: customers, orders, subscriptions, invoices, payments, ticket_states, usage_guided, logins, revenue_lines,
-- rfm, churn_risk, risk_score, fraud_alerts, recommendations, the clock. One row per customer even with nothing. r, f, m and
-- rfm_segment are those of rfm (of the currency with most orders, and the best fifths), churn_risk that of the subscription that
-- is most likely to end, risk_score and risk_band those of the rules, open_alerts the alerts that are open, taken or snoozed;
-- recommendations are the offerings in their order. Events of a merged customer count for the one who goes on; the merged one
-- keeps a row with nothing in it. Late, corrected and cancelled events change what they change in the views it is made of, at the
-- same time. Money is in the currency of the row that it comes from: a customer with several has the sums in currencies that
-- differ left NULL.
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
), judgements AS (
    SELECT customer_id, r, f, m, segment, orders, NULL::numeric(9, 4) AS churn_risk, NULL::numeric(9, 2) AS risk_score, NULL::text AS risk_band,
           0 AS open_alerts, NULL::text AS offering_id, NULL::bigint AS place
    FROM rfm
    UNION ALL
    SELECT customer_id, NULL, NULL, NULL, NULL, NULL, risk, NULL, NULL, 0, NULL, NULL FROM churn_risk
    UNION ALL
    SELECT customer_id, NULL, NULL, NULL, NULL, NULL, NULL, score, band, 0, NULL, NULL FROM risk_score
    UNION ALL
    SELECT customer_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, NULL, NULL
    FROM fraud_alerts WHERE state IN ('open', 'acknowledged', 'snoozed')
    UNION ALL
    SELECT customer_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, offering_id, place FROM recommendations
), judged AS (
    SELECT coalesce(o.goes_on_as, j.customer_id) AS customer_id, max(j.r) AS r, max(j.f) AS f, max(j.m) AS m,
           arg_max(j.segment, j.orders) FILTER (WHERE j.segment IS NOT NULL) AS rfm_segment,
           max(j.churn_risk) AS churn_risk, max(j.risk_score) AS risk_score,
           arg_max(j.risk_band, j.risk_score) FILTER (WHERE j.risk_band IS NOT NULL) AS risk_band,
           sum(j.open_alerts) AS open_alerts, string_agg(j.offering_id, ', ' ORDER BY j.place, j.offering_id) AS recommendations
    FROM judgements j
    LEFT JOIN customer_roots o ON o.customer_id = j.customer_id
    WHERE j.customer_id IS NOT NULL
    GROUP BY coalesce(o.goes_on_as, j.customer_id)
)
SELECT c.customer_id, c.name, c.segment, c.country, c.status, c.goes_on_as, coalesce(s.open_orders, 0) AS open_orders,
       coalesce(s.active_products, 0) AS active_products, s.currency, CASE WHEN s.customer_id IS NULL THEN 0 ELSE s.mrr END AS mrr, CASE WHEN s.customer_id IS NULL THEN 0 ELSE s.balance_due END AS balance_due,
       s.oldest_due_on, s.last_payment_at, coalesce(s.open_tickets, 0) AS open_tickets, CASE WHEN s.customer_id IS NULL THEN 0 ELSE s.net_revenue END AS net_revenue,
       s.last_login_at, coalesce(u.records, 0) AS usage_records_30_days,
       j.r, j.f, j.m, j.rfm_segment, j.churn_risk, j.risk_score, j.risk_band, coalesce(j.open_alerts, 0) AS open_alerts, j.recommendations
FROM customers c
LEFT JOIN summed s ON s.customer_id = c.customer_id
LEFT JOIN used u ON u.customer_id = c.customer_id
LEFT JOIN judged j ON j.customer_id = c.customer_id;
