-- Each usage record that someone pays for, with the price that held when it was used and where it stands in its period's total.
--
-- In: usage_guided, offering_prices. charged is what of its quantity is not included in the price. before and upto are the quantity of
-- the charge in the period before and with this record, in the order of time and id, what is included taken off; only prices by tiers
-- and packages ask for them. A record whose offering has no usage price then has no row, and is in usage_unpriced. A row for each
-- record. Late, corrected and voided records move all that come after them in their period.
CREATE VIEW usage_priced AS
SELECT y.*, upto - before AS charged
FROM (
    SELECT x.*, greatest(cumulated - quantity - included, 0) AS before, greatest(cumulated - included, 0) AS upto
    FROM (
        SELECT u.usage_id, u.event_id, u.usage_type, u.used_at, u.quantity, u.account_id, u.customer_id, u.subscription_id,
               u.period_start, p.price_id, p.price_version, p.model, p.currency, p.package_size, p.included,
               coalesce(p.unit_price, 0) AS unit_price,
               sum(u.quantity) OVER (PARTITION BY u.account_id, u.subscription_id, p.price_id, p.price_version, u.period_start
                                     ORDER BY u.used_at, u.usage_id, u.event_id) AS cumulated
        FROM usage_guided u
        JOIN price_intervals p
          ON p.offering_id = u.offering_id AND p.usage_type = u.usage_type AND p.from_at <= u.used_at AND u.used_at < p.until_at
        WHERE u.status = 'guided' AND p.price_type = 'usage'
    ) x
) y;
