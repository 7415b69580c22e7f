-- Revenue without tax per day as known now: what sets an earlier line right counts on that line's day.
--
-- Key: day, country, category, currency. In: revenue_lines, customer_states. A bill of day 1 that is cancelled on day 9 shows 0
-- on day 1 and nothing on day 9. Over all days it adds up to revenue_booked. Late and corrected bills as there.
CREATE MATERIALIZED VIEW revenue_corrected WITH (key = 'day,country,category,currency') AS
SELECT l.corrected_on AS day, coalesce(c.country, 'unknown') AS country, coalesce(l.category, 'none') AS category, l.currency,
       count(*) AS lines, sum(l.amount) AS revenue
FROM revenue_lines l
LEFT JOIN customer_states c ON c.customer_id = l.customer_id
GROUP BY l.corrected_on, coalesce(c.country, 'unknown'), coalesce(l.category, 'none'), l.currency;
