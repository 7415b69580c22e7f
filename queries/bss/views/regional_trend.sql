-- Each country's last seven days beside the seven before, by day and currency: revenue, orders, customers, churn, tickets.
--
-- Key: day, country, currency. In: revenue_corrected, order_states, subscription_intervals, ticket_states, customer_states. A row
-- stands for each day with revenue. Revenue is net: bills not voided, less credit notes, plus adjustments, on the day of what
-- they set right. z says how far the day's revenue is from the days of the eight weeks before it, in their standard deviations,
-- from 14 such days on. Active customers are those who ordered in the seven days, churned ones those with a subscription that
-- ended in them; tickets are per thousand active customers. A late or voided bill, a cancelled order, a back-dated end and a
-- cancelled ticket change the rows of the days that see them.
CREATE MATERIALIZED VIEW regional_trend WITH (key = 'day,country,currency') AS
WITH revenue AS (
    SELECT day, country, currency, sum(revenue) AS revenue FROM revenue_corrected GROUP BY day, country, currency
), compared AS (
    SELECT day, country, currency, revenue,
           sum(revenue) OVER (PARTITION BY country, currency ORDER BY day
                              RANGE BETWEEN INTERVAL '6 days' PRECEDING AND CURRENT ROW) AS revenue_7d,
           coalesce(sum(revenue) OVER (PARTITION BY country, currency ORDER BY day
                              RANGE BETWEEN INTERVAL '13 days' PRECEDING AND INTERVAL '7 days' PRECEDING), 0) AS revenue_7d_before,
           count(*) OVER weeks AS days, sum(revenue) OVER weeks AS total, sum(revenue * revenue) OVER weeks AS squares
    FROM revenue
    WINDOW weeks AS (PARTITION BY country, currency ORDER BY day
                     RANGE BETWEEN INTERVAL '56 days' PRECEDING AND INTERVAL '1 day' PRECEDING)
), happenings AS (
    SELECT country, ordered_at AS at, 1 AS orders, customer_id AS active, NULL::text AS churned, 0 AS tickets
    FROM order_states
    WHERE state NOT IN ('cancelled', 'rejected', 'failed')
    UNION ALL
    SELECT c.country, s.from_at, 0, NULL, s.customer_id, 0
    FROM subscription_intervals s
    JOIN customer_states c ON c.customer_id = s.customer_id
    WHERE s.state = 'terminated'
    UNION ALL
    SELECT c.country, t.created_at, 0, NULL, NULL, 1
    FROM ticket_states t
    JOIN customer_states c ON c.customer_id = t.customer_id
    WHERE t.status NOT IN ('cancelled', 'rejected')
), weekly AS (
    SELECT country, (window_end - INTERVAL '1 day')::date AS day, sum(orders) AS orders, count(DISTINCT active) AS customers,
           count(DISTINCT churned) AS churned, sum(tickets) AS tickets
    FROM HOP(happenings, at, INTERVAL '1 day', INTERVAL '7 days')
    GROUP BY country, window_end
)
SELECT r.day, r.country, r.currency, r.revenue, r.revenue_7d, r.revenue_7d_before,
       CASE WHEN r.revenue_7d_before > 0 THEN round((r.revenue_7d - r.revenue_7d_before)::numeric / r.revenue_7d_before, 4) END AS growth,
       CASE WHEN r.days >= 14 THEN
           round(((r.revenue::double precision - r.total::double precision / r.days)
               / nullif(sqrt(greatest(r.squares::double precision - r.total::double precision * r.total::double precision / r.days, 0)
                             / (r.days - 1)), 0))::numeric, 2) END AS z,
       coalesce(w.orders, 0) AS orders_7d, coalesce(b.orders, 0) AS orders_7d_before,
       coalesce(w.customers, 0) AS customers_7d, coalesce(b.customers, 0) AS customers_7d_before,
       coalesce(w.churned, 0) AS churned_7d, coalesce(b.churned, 0) AS churned_7d_before, coalesce(w.tickets, 0) AS tickets_7d,
       CASE WHEN w.customers > 0 THEN round(w.tickets::numeric * 1000 / w.customers, 1) END AS tickets_per_1000
FROM compared r
LEFT JOIN weekly w ON w.country = r.country AND w.day = r.day
LEFT JOIN weekly b ON b.country = r.country AND b.day = r.day - 7;
