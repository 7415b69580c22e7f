-- What each customer is tied to: instruments, devices, addresses, bank accounts, documents, IMEIs.
--
-- Key: customer_id, link. In: pay_attempts, logins, addresses, billing_accounts, customer_states, customer_roots, usage_records,
-- fact_voids, the clock. link is the kind, a slash and the key. Addresses count while they are valid. A merged customer counts as
-- the one it went into. A corrected device, a voided payment or login, a removed address and an unmerge take ties away. Only ties
-- that 2 to 50 customers share are kept: one that is not shared ties nobody, and one of more than 50 is a public place (an
-- office, a demo phone). A tie that is told late counts at once.
CREATE MATERIALIZED VIEW fraud_links WITH (key = 'customer_id,link') AS
WITH ties AS (
    SELECT customer_id, 'instrument/' || instrument AS link FROM pay_attempts
    UNION
    SELECT customer_id, 'device/' || device_id FROM pay_attempts
    UNION
    SELECT l.customer_id, 'device/' || l.device_id FROM logins l
    LEFT JOIN (SELECT DISTINCT supersedes FROM fact_voids) v ON v.supersedes = l.event_id
    WHERE v.supersedes IS NULL AND l.event_type LIKE '%succeeded%'
    UNION
    SELECT customer_id, 'address/' || lower(street) || ' ' || lower(postcode) FROM addresses
    WHERE coalesce(valid_from, TIMESTAMP '2000-01-01') <= now() AND coalesce(valid_until, TIMESTAMP '2200-01-01') > now()
    UNION
    SELECT customer_id, 'bank/' || bank_account FROM billing_accounts
    UNION
    SELECT customer_id, 'document/' || document_id FROM customer_states
    UNION
    SELECT customer_id, 'imei/' || imei FROM usage_records
), resolved AS (
    SELECT DISTINCT coalesce(c.goes_on_as, t.customer_id) AS customer_id, t.link
    FROM ties t
    LEFT JOIN customer_roots c ON c.customer_id = t.customer_id
    WHERE t.customer_id IS NOT NULL AND t.link IS NOT NULL
), shared AS (
    SELECT link, count(*) AS customers FROM resolved GROUP BY link HAVING count(*) BETWEEN 2 AND 50
)
SELECT r.customer_id, r.link, split_part(r.link, '/', 1) AS kind, s.customers
FROM resolved r
JOIN shared s ON s.link = r.link;
