-- What each usage record costs, by tier, before rounding: money is rounded once, per line of the bill.
--
-- Key: usage_id, event_id, tier. In: usage_priced, price_steps. graduated: each unit at the price of the tier it falls into, in
-- the order of time and id; volume: all units at the price of the tier of the period's total; unit: quantity times price;
-- package: a record pays for the packages it begins. Flat fees of tiers are in usage_charges. One late, corrected or voided
-- record prices all later ones of its charge and period anew (graduated, package), or all of them (volume); only rows whose price
-- changed change.
CREATE MATERIALIZED VIEW rated_usage WITH (key = 'usage_id,event_id,tier') AS
SELECT usage_id, event_id, tier, account_id, subscription_id, period_start, price_id, price_version, currency, model, used_at,
       quantity, unit_price, (quantity * unit_price)::decimal(24, 9) AS amount
FROM (
    SELECT u.usage_id, u.event_id, t.tier, u.account_id, u.subscription_id, u.period_start, u.price_id, u.price_version,
           u.currency, u.model, u.used_at, t.unit_price,
           (CASE u.model
            WHEN 'graduated' THEN least(u.upto, coalesce(t.up_to, u.upto)) - greatest(u.before, t.from_quantity)
            WHEN 'package' THEN ceil(u.upto / u.package_size) - ceil(u.before / u.package_size)
            ELSE u.upto - u.before END)::decimal(18, 3) AS quantity
    FROM usage_priced u
    JOIN price_steps t ON t.price_id = u.price_id AND t.price_version = u.price_version
    WHERE CASE u.model
          WHEN 'graduated' THEN t.from_quantity < u.upto AND coalesce(t.up_to > u.before, true) AND u.upto > u.before
          WHEN 'volume' THEN t.from_quantity < u.total AND coalesce(u.total <= t.up_to, true)
          ELSE true END
) r;
