-- Each country's last seven days beside the seven before, by day and currency.
--
-- Key: day, country, currency. In: revenue_daily, order_states, ticket_states, customer_states. A row stands for each day with
-- revenue. z says how far the day's revenue is from the days of the eight weeks before it, in their standard deviations, from
-- 14 such days on. Orders and tickets are those of seven days; active customers those who ordered in them. A late or voided
-- bill and a cancelled order change the rows of the days that see them.
CREATE MATERIALIZED VIEW regional_trend WITH (key = 'day,country,currency') AS
WITH revenue AS (
    SELECT day, country, currency, revenue,
           sum(revenue) OVER (PARTITION BY country, currency ORDER BY day
                              RANGE BETWEEN INTERVAL '6 days' PRECEDING AND CURRENT ROW) AS revenue_7d,
           coalesce(sum(revenue) OVER (PARTITION BY country, currency ORDER BY day
                              RANGE BETWEEN INTERVAL '13 days' PRECEDING AND INTERVAL '7 days' PRECEDING), 0) AS revenue_7d_before,
           count(*) OVER weeks AS days, sum(revenue) OVER weeks AS total, sum(revenue * revenue) OVER weeks AS squares
    FROM revenue_daily
    WINDOW weeks AS (PARTITION BY country, currency ORDER BY day
                     RANGE BETWEEN INTERVAL '56 days' PRECEDING AND INTERVAL '1 day' PRECEDING)
), orders AS (
    SELECT country, (window_end - INTERVAL '1 day')::date AS day, count(*) AS orders, count(DISTINCT customer_id) AS customers
    FROM HOP(order_states, ordered_at, INTERVAL '1 day', INTERVAL '7 days')
    WHERE state NOT IN ('cancelled', 'rejected', 'failed')
    GROUP BY country, window_end
), tickets AS (
    SELECT c.country, (t.window_end - INTERVAL '1 day')::date AS day, count(*) AS tickets
    FROM HOP(ticket_states, created_at, INTERVAL '1 day', INTERVAL '7 days') t
    JOIN customer_states c ON c.customer_id = t.customer_id
    GROUP BY c.country, t.window_end
)
SELECT r.day, r.country, r.currency, r.revenue, r.revenue_7d, r.revenue_7d_before,
       CASE WHEN r.revenue_7d_before > 0 THEN round((r.revenue_7d - r.revenue_7d_before)::numeric / r.revenue_7d_before, 4) END AS growth,
       CASE WHEN r.days >= 14 THEN
           round(((r.revenue::double precision - r.total::double precision / r.days)
               / nullif(sqrt(greatest(r.squares::double precision - r.total::double precision * r.total::double precision / r.days, 0)
                             / (r.days - 1)), 0))::numeric, 2) END AS z,
       coalesce(o.orders, 0) AS orders_7d, coalesce(o.customers, 0) AS customers_7d, coalesce(t.tickets, 0) AS tickets_7d,
       CASE WHEN o.customers > 0 THEN round(coalesce(t.tickets, 0)::numeric * 1000 / o.customers, 1) END AS tickets_per_1000
FROM revenue r
LEFT JOIN orders o ON o.country = r.country AND o.day = r.day
LEFT JOIN tickets t ON t.country = r.country AND t.day = r.day;
