-- Which price for a unit of use holds when: from from_at until before until_at.
--
-- In: offering_prices. A new price_version of a price list ends the one before; a corrected one keeps its place. A retired price ends
-- where it says. A row for each price_version and its interval. A price told late holds from when it says; one that never was is
-- stated again with an empty validity.
CREATE VIEW price_intervals AS
SELECT price_id, price_version, offering_id, price_type, model, usage_type, unit_price, package_size, coalesce(included, 0) AS included, percentage,
       currency, from_at, least(until_at, next_at) AS until_at
FROM (
    SELECT p.*, coalesce(valid_from, TIMESTAMP '1970-01-01') AS from_at, coalesce(valid_until, TIMESTAMP '2200-01-01') AS until_at,
           coalesce(lead(coalesce(valid_from, TIMESTAMP '1970-01-01')) OVER (
               PARTITION BY price_id ORDER BY coalesce(valid_from, TIMESTAMP '1970-01-01'), price_version
           ), TIMESTAMP '2200-01-01') AS next_at
    FROM offering_prices p
) v;
