-- Of the orders of each week and country, how many came how far, how long it took, and how many are stuck.
--
-- Key: week, country. In: order_to_cash. Orders count in the week when they were made; cancelled ones only under orders and
-- cancelled. Late and corrected events move orders on as order_to_cash says.
CREATE MATERIALIZED VIEW order_to_cash_funnel WITH (key = 'week,country') AS
SELECT date_trunc('week', ordered_at)::date AS week, coalesce(country, 'unknown') AS country, count(*) AS orders,
       count(*) FILTER (WHERE stage = 'cancelled') AS cancelled,
       count(activated_at) FILTER (WHERE stage <> 'cancelled') AS activated, count(used_at) FILTER (WHERE stage <> 'cancelled') AS used,
       count(billed_at) FILTER (WHERE stage <> 'cancelled') AS billed, count(paid_at) FILTER (WHERE stage <> 'cancelled') AS paid,
       count(*) FILTER (WHERE stuck) AS stuck, round(avg(hours_to_activate), 2) AS hours_to_activate, round(avg(days_to_cash), 2) AS days_to_cash
FROM order_to_cash
GROUP BY date_trunc('week', ordered_at)::date, coalesce(country, 'unknown');
