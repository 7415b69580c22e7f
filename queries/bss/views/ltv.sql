-- What a customer of each segment is worth over its time with us: monthly value times gross margin by monthly churn.
--
-- Key: segment, currency. In: mrr_monthly, churn_monthly, subscriptions, offering_states. Of the last month that has ended. The
-- margin is what the recurring amounts of active subscriptions leave over the costs in the catalogue; offerings without a cost
-- count as free of cost. NULL where nobody left. Restated with the months it is made of. Late, corrected and cancelled events
-- change it as they change mrr_monthly, churn_monthly and subscriptions.
CREATE MATERIALIZED VIEW ltv WITH (key = 'segment,currency') AS
WITH margins AS (
    SELECT coalesce(c.segment, 'unknown') AS segment, s.currency,
           1 - sum(coalesce(o.cost, 0) * coalesce(s.quantity, 1)) / nullif(sum(s.recurring_amount * coalesce(s.quantity, 1)), 0) AS margin
    FROM subscriptions s
    LEFT JOIN offering_states o ON o.offering_id = s.offering_id
    LEFT JOIN customer_states c ON c.customer_id = s.customer_id
    WHERE s.mrr > 0
    GROUP BY coalesce(c.segment, 'unknown'), s.currency
)
SELECT m.segment, m.currency, m.month, h.active_at_start AS customers,
       round(m.start_mrr / nullif(h.active_at_start, 0), 2) AS mrr_per_customer, round(g.margin, 4) AS margin, h.logo_churn,
       round(m.start_mrr / nullif(h.active_at_start, 0) * g.margin / nullif(h.logo_churn, 0), 2) AS ltv
FROM mrr_monthly m
JOIN churn_monthly h ON h.month = m.month AND h.segment = m.segment AND h.currency = m.currency
LEFT JOIN margins g ON g.segment = m.segment AND g.currency = m.currency
WHERE m.month = (date_trunc('month', now() AT TIME ZONE 'UTC') - INTERVAL '1 month')::date;
