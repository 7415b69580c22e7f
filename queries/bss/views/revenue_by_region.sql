-- Revenue without tax by country, region and city of the installation address at the bill's date, with sums for each level.
--
-- Key: month, currency, country, region, city. In: revenue_lines, installation_intervals, customer_states. NULL in region and
-- city says: all of them. An address that is corrected later moves the revenue of its time; a customer without one counts under
-- the country of the CRM. Late, corrected and cancelled bills as in revenue_corrected.
CREATE MATERIALIZED VIEW revenue_by_region WITH (key = 'month,currency,country,region,city') AS
SELECT date_trunc('month', l.corrected_on::timestamp)::date AS month, l.currency,
       coalesce(a.country, c.country, 'unknown') AS country, coalesce(a.state_or_province, 'none') AS region,
       coalesce(a.city, 'none') AS city, sum(l.amount) AS revenue
FROM revenue_lines l
LEFT JOIN installation_intervals a
       ON a.customer_id = l.customer_id AND a.from_on <= l.corrected_on AND l.corrected_on < a.until_on
LEFT JOIN customer_states c ON c.customer_id = l.customer_id
GROUP BY date_trunc('month', l.corrected_on::timestamp)::date, l.currency,
         ROLLUP (coalesce(a.country, c.country, 'unknown'), coalesce(a.state_or_province, 'none'), coalesce(a.city, 'none'));
