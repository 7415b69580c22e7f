-- What the usage of each subscription costs per price and period: one line of the bill, rounded once to the cent.
--
-- Key: account_id, subscription_id, period_start, price_id, price_version. In: usage_guided, offering_prices, price_tiers. With T the
-- quantity less what is included: graduated: the units in each tier at its price, and the flat fee of each tier begun; volume: T
-- at the price of the tier it reaches, and its fee; package: as many as are begun; unit: T times the price. It is the same
-- function for a preview and for a closed period, so a late record changes both alike. Voided, rejected and doubled records are
-- in no charge.
CREATE MATERIALIZED VIEW usage_charges WITH (key = 'account_id,subscription_id,period_start,price_id,price_version') AS
WITH totals AS (
    SELECT u.account_id, u.customer_id, u.subscription_id, u.period_start, p.price_id, p.price_version, p.model, p.currency, p.package_size,
           u.usage_type, sum(u.quantity) AS quantity, count(*) AS records, greatest(sum(u.quantity) - p.included, 0) AS total
    FROM usage_guided u
    JOIN price_intervals p
      ON p.offering_id = u.offering_id AND p.usage_type = u.usage_type AND p.from_at <= u.used_at AND u.used_at < p.until_at
    WHERE u.status = 'guided' AND p.price_type = 'usage'
    GROUP BY u.account_id, u.customer_id, u.subscription_id, u.period_start, p.price_id, p.price_version, p.model, p.currency, p.package_size,
             u.usage_type, p.included
)
SELECT c.account_id, c.customer_id, c.subscription_id, c.period_start, c.price_id, c.price_version, c.currency, c.usage_type, c.model,
       c.records, c.quantity, c.total AS quantity_charged,
       round(sum(CASE c.model
           WHEN 'graduated' THEN greatest(least(c.total, coalesce(t.up_to, c.total)) - t.from_quantity, 0) * t.unit_price
                                 + CASE WHEN c.total > t.from_quantity THEN t.flat_fee ELSE 0 END
           WHEN 'volume' THEN CASE WHEN t.from_quantity < c.total AND coalesce(c.total <= t.up_to, true)
                                   THEN c.total * t.unit_price + t.flat_fee ELSE 0 END
           WHEN 'package' THEN ceil(c.total / c.package_size) * t.unit_price
           ELSE c.total * t.unit_price END), 2) AS amount
FROM totals c
JOIN price_steps t ON t.price_id = c.price_id AND t.price_version = c.price_version
GROUP BY c.account_id, c.customer_id, c.subscription_id, c.period_start, c.price_id, c.price_version, c.currency, c.usage_type, c.model,
         c.records, c.quantity, c.total;
