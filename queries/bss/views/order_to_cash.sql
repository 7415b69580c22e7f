-- Each order on its way from being made to being paid.
--
-- Key: order_id. In: order_states, service_states, usage_records, bill_states, payment_states, the clock. stage is the last
-- that was reached: created, activated, used, billed, paid, or cancelled. stuck when an order that is not paid or cancelled
-- has not moved for seven days by the clock. Late events fill in stages that were skipped; a voided bill or failed payment
-- takes its stage back. Corrected orders, bills and payments count as they are known now.
CREATE MATERIALIZED VIEW order_to_cash WITH (key = 'order_id') AS
WITH activated AS (
    SELECT order_id, min(activated_at) AS at FROM service_states WHERE order_id IS NOT NULL AND activated_at IS NOT NULL GROUP BY order_id
), used AS (
    SELECT s.order_id, min(u.used_at) AS at
    FROM (SELECT subscription_id, min(used_at) AS used_at FROM usage_records WHERE subscription_id IS NOT NULL GROUP BY subscription_id) u
    JOIN (SELECT DISTINCT order_id, subscription_id FROM service_states WHERE order_id IS NOT NULL) s ON s.subscription_id = u.subscription_id
    GROUP BY s.order_id
), bills AS (
    SELECT order_id, bill_id, billed_on FROM bill_states WHERE order_id IS NOT NULL AND state <> 'voided'
), billed AS (
    SELECT order_id, min(billed_on)::timestamp AS at FROM bills GROUP BY order_id
), paid AS (
    SELECT coalesce(p.order_id, b.order_id) AS order_id, min(p.changed_at) AS at
    FROM payment_states p
    LEFT JOIN bills b ON b.bill_id = p.bill_id
    WHERE p.state IN ('captured', 'settled', 'done') AND coalesce(p.order_id, b.order_id) IS NOT NULL
    GROUP BY coalesce(p.order_id, b.order_id)
), stages AS (
    SELECT o.order_id, o.customer_id, o.country, o.state, o.ordered_at, o.gross, o.currency, a.at AS activated_at, u.at AS used_at, b.at AS billed_at, p.at AS paid_at,
           CASE WHEN o.state IN ('cancelled', 'rejected', 'failed') THEN 'cancelled' WHEN p.at IS NOT NULL THEN 'paid' WHEN b.at IS NOT NULL THEN 'billed'
                WHEN u.at IS NOT NULL THEN 'used' WHEN a.at IS NOT NULL THEN 'activated' ELSE 'created' END AS stage,
           greatest(o.ordered_at, a.at, u.at, b.at, p.at) AS moved_at
    FROM order_states o
    LEFT JOIN activated a ON a.order_id = o.order_id
    LEFT JOIN used u ON u.order_id = o.order_id
    LEFT JOIN billed b ON b.order_id = o.order_id
    LEFT JOIN paid p ON p.order_id = o.order_id
)
SELECT order_id, customer_id, country, state, stage, ordered_at, activated_at, used_at, billed_at, paid_at,
       round(extract(epoch FROM activated_at - ordered_at)::numeric(18, 3) / 3600, 2) AS hours_to_activate,
       round(extract(epoch FROM paid_at - ordered_at)::numeric(18, 3) / 86400, 2) AS days_to_cash,
       stage NOT IN ('paid', 'cancelled') AND moved_at + INTERVAL '7 days' <= now() AS stuck,
       gross, currency
FROM stages;
