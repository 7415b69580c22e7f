-- Whose each number is now.
--
-- Key: msisdn. In: resource_states. A number on several cards is that of the greatest customer_id; a released or corrected card
-- changes it. Whose a number was at a time is in guide_intervals. A card that is told late counts at once; one that is released
-- leaves the number to nobody.
CREATE VIEW number_owners AS
SELECT msisdn, max(customer_id) AS customer_id
FROM resource_states
WHERE msisdn IS NOT NULL AND customer_id IS NOT NULL
GROUP BY msisdn;
