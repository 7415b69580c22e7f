-- What each usage record costs, by tier, before rounding: money is rounded once, per line of the bill.
--
-- Key: usage_id, event_id, tier. In: usage_priced, usage_charges, price_steps. graduated: each unit at the price of the tier it falls
-- into, in the order of time and id; volume: all units at the price of the tier of the period's total; unit: quantity times price;
-- package: a record pays for the packages it begins. Flat fees of tiers are in usage_charges. One late, corrected or voided
-- record prices all later ones of its charge and period anew (graduated, package), or all of them where the total reaches
-- another tier (volume); only rows whose price changed change.
CREATE MATERIALIZED VIEW rated_usage WITH (key = 'usage_id,event_id,tier') AS
SELECT usage_id, event_id, tier, account_id, subscription_id, period_start, price_id, price_version, currency, model, used_at,
       quantity, unit_price, (quantity * unit_price)::decimal(24, 9) AS amount
FROM (
    SELECT u.usage_id, u.event_id, t.tier, u.account_id, u.subscription_id, u.period_start, u.price_id, u.price_version,
           u.currency, u.model, u.used_at, t.unit_price,
           (CASE u.model
            WHEN 'graduated' THEN least(u.upto, coalesce(t.up_to, u.upto)) - greatest(u.before, t.from_quantity)
            WHEN 'package' THEN ceil(u.upto / u.package_size) - ceil(u.before / u.package_size)
            ELSE u.charged END)::decimal(18, 3) AS quantity
    FROM (
        SELECT p.usage_id, p.event_id, p.account_id, p.subscription_id, p.period_start, p.price_id, p.price_version, p.currency,
               p.model, p.used_at, p.package_size, p.charged,
               -- Where the place in the period decides nothing, a late record changes no other.
               CASE WHEN p.model IN ('graduated', 'package') THEN p.before END AS before,
               CASE WHEN p.model IN ('graduated', 'package') THEN p.upto END AS upto, c.tier
        FROM usage_priced p
        LEFT JOIN (
            -- The tier of each charge's total: most records leave it where it is.
            SELECT c.account_id, c.subscription_id, c.price_id, c.price_version, c.period_start, s.tier
            FROM usage_charges c
            JOIN price_steps s ON s.price_id = c.price_id AND s.price_version = c.price_version
            WHERE c.model = 'volume' AND s.from_quantity < c.quantity_charged AND coalesce(c.quantity_charged <= s.up_to, true)
        ) c ON c.account_id IS NOT DISTINCT FROM p.account_id AND c.subscription_id = p.subscription_id
           AND c.price_id = p.price_id AND c.price_version = p.price_version AND c.period_start = p.period_start
    ) u
    JOIN price_steps t ON t.price_id = u.price_id AND t.price_version = u.price_version
    WHERE CASE u.model
          WHEN 'graduated' THEN t.from_quantity < u.upto AND coalesce(t.up_to > u.before, true) AND u.upto > u.before
          WHEN 'volume' THEN t.tier = u.tier
          ELSE true END
) r;
