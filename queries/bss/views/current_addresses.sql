-- The address that holds now for each customer and role, as one line; of several the one that began last.
--
-- Key: customer_id, role. In: addresses, the clock. An address comes and goes by the clock; a late, corrected or removed one
-- counts at once.
CREATE VIEW current_addresses AS
SELECT DISTINCT ON (customer_id, role)
       customer_id, role,
       concat_ws(', ', street, concat_ws(' ', postcode, city), state_or_province, country) AS line
FROM addresses
WHERE coalesce(valid_from, TIMESTAMP '1970-01-01') <= now()
  AND coalesce(valid_until, TIMESTAMP '2200-01-01') > now()
ORDER BY customer_id, role, valid_from DESC NULLS LAST, address_id;
