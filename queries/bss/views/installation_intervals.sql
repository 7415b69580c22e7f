-- Where each customer had the service installed when; where addresses overlap, the one that began last.
--
-- In: addresses. A late or corrected address moves the intervals; a removed one leaves its time to the one before. A row for
-- each customer and interval.
CREATE VIEW installation_intervals AS
SELECT customer_id, country, state_or_province, city, from_on,
       least(coalesce(until_on, DATE '2200-01-01'), coalesce(next_on, DATE '2200-01-01')) AS until_on
FROM (
    SELECT customer_id, country, state_or_province, city, coalesce(valid_from, TIMESTAMP '1970-01-01')::date AS from_on,
           valid_until::date AS until_on,
           lead(coalesce(valid_from, TIMESTAMP '1970-01-01')::date) OVER (
               PARTITION BY customer_id ORDER BY coalesce(valid_from, TIMESTAMP '1970-01-01'), address_id
           ) AS next_on
    FROM addresses
    WHERE role = 'installation'
) a;
