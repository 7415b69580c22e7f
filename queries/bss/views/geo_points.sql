-- Where a customer was at a moment: logins, and payments with the card present. Where a SIM card was is in fraud_impossible_travel.
--
-- Key: point_id. In: logins, pay_attempts, fact_voids, entity_lists. pivot is the customer. Logins from an address on the list vpn
-- or mobile_gateway, voided logins and points without coordinates are left out. A late point stands at its own time; a corrected
-- payment moves its point.
CREATE VIEW geo_points AS
SELECT 'customer/' || l.customer_id AS pivot, l.customer_id, 'login/' || l.event_id AS point_id, l.logged_in_at AS at,
       l.latitude, l.longitude, coalesce(l.accuracy_km, 0) AS accuracy_km, regexp_replace(l.ip, '[.][0-9]+$', '') AS network
FROM logins l
LEFT JOIN (SELECT DISTINCT supersedes FROM fact_voids) v ON v.supersedes = l.event_id
LEFT JOIN (SELECT DISTINCT entity_key FROM entity_lists WHERE list_name IN ('vpn', 'mobile_gateway')) e ON e.entity_key = l.ip
WHERE l.event_type LIKE '%succeeded%' AND l.latitude IS NOT NULL AND l.longitude IS NOT NULL AND l.customer_id IS NOT NULL
  AND v.supersedes IS NULL AND e.entity_key IS NULL
UNION ALL
SELECT 'customer/' || customer_id, customer_id, 'payment/' || payment_id, attempted_at, latitude, longitude, 0, NULL
FROM pay_attempts
WHERE card_present AND latitude IS NOT NULL AND longitude IS NOT NULL AND customer_id IS NOT NULL;
