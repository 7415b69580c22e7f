-- Usage that somebody has to pay for and that no price is for: the offering had none for this kind when it was used.
--
-- Key: usage_id, event_id. In: usage_guided, offering_prices. A row goes when a price is told whose validity reaches back, or the
-- record is corrected or voided; a retired or corrected price may bring it back. What nobody pays for at all is in
-- usage_unmatched. A late record is judged by the price of its own time.
CREATE MATERIALIZED VIEW usage_unpriced WITH (key = 'usage_id,event_id') AS
SELECT u.usage_id, u.event_id, u.account_id, u.subscription_id, u.offering_id, u.usage_type, u.quantity, u.units, u.used_at, u.period_start
FROM usage_guided u
LEFT JOIN price_intervals p
       ON p.offering_id = u.offering_id AND p.usage_type = u.usage_type AND p.from_at <= u.used_at AND u.used_at < p.until_at
      AND p.price_type = 'usage'
WHERE u.status = 'guided' AND p.price_id IS NULL;
