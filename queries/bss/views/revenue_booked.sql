-- Revenue without tax per day of its document, country of the customer, category and currency: what was booked on that day.
--
-- Key: day, country, category, currency. In: revenue_lines, customer_states. A bill of day 1 that is cancelled on day 9 shows
-- -x on day 9. A late bill counts on the day that it bears; a corrected one takes the place of the one before, on its day. A
-- customer who moves takes along all revenue; unknown ones stand under 'unknown'.
CREATE MATERIALIZED VIEW revenue_booked WITH (key = 'day,country,category,currency') AS
SELECT l.booked_on AS day, coalesce(c.country, 'unknown') AS country, coalesce(l.category, 'none') AS category, l.currency,
       count(*) AS lines, sum(l.amount) AS revenue
FROM revenue_lines l
LEFT JOIN customer_states c ON c.customer_id = l.customer_id
GROUP BY l.booked_on, coalesce(c.country, 'unknown'), coalesce(l.category, 'none'), l.currency;
