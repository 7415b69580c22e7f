-- Each subscription as it is now, by the clock: what it is, in which state, and its monthly value.
--
-- Key: subscription_id. In: subscription_intervals, the clock. A change that takes effect later is not here yet and comes when its
-- time does; a back-dated one counts at once; a scheduled termination that was taken back never comes. A terminated one stays,
-- with state 'terminated' and no value. A corrected version takes the place of the one before.
CREATE MATERIALIZED VIEW subscriptions WITH (key = 'subscription_id') AS
SELECT subscription_id, customer_id, account_id, offering_id, state, is_trial, quantity, recurring_amount, currency, mrr,
       termination_reason, from_at, until_at
FROM subscription_intervals
WHERE from_at <= now() AND coalesce(until_at, TIMESTAMP '2200-01-01') > now();
