-- The tiers of every usage price, each with where it begins: (from_quantity, up_to]. A price by unit is one tier without end; one by
-- package is a tier of packages.
--
-- In: offering_prices, price_tiers. Unit 100 of "up to 100" is in that tier. A row for each tier. A late or corrected price
-- replaces its tiers as a whole; a retired one keeps them, and price_intervals ends it.
CREATE VIEW price_steps AS
SELECT price_id, price_version, tier, coalesce(lag(up_to) OVER (PARTITION BY price_id, price_version ORDER BY tier), 0) AS from_quantity,
       up_to, unit_price, coalesce(flat_fee, 0) AS flat_fee
FROM price_tiers
UNION ALL
SELECT price_id, price_version, 1, 0, NULL, coalesce(unit_price, 0), 0
FROM offering_prices
WHERE price_type = 'usage' AND model IN ('unit', 'package', 'flat', 'percentage');
