-- Who pays for each usage record: the subscription and account that had the line when it was used, and the period that it falls into.
--
-- Key: usage_id, event_id. In: usage, guide_intervals. status: guided, unmatched, or the verdict (voided, rejected, duplicate).
-- Nothing is dropped: what nobody had is unmatched, and is matched as soon as the subscription or the card becomes known, however
-- late. A corrected record is guided anew. Periods begin on the account's cycle day, at midnight in its time zone, and are half-
-- open: [start, end).
CREATE MATERIALIZED VIEW usage_guided WITH (key = 'usage_id,event_id') AS
SELECT u.usage_id, u.event_id, coalesce(u.verdict, CASE WHEN g.subscription_id IS NULL THEN 'unmatched' ELSE 'guided' END) AS status,
       u.usage_type, u.quantity, u.units, u.line, u.used_at, g.subscription_id, g.customer_id, g.account_id, g.offering_id,
       g.currency,
       (date_trunc('month', (u.used_at AT TIME ZONE 'UTC') AT TIME ZONE g.time_zone - (g.bill_cycle_day - 1) * INTERVAL '1 day')
        + (g.bill_cycle_day - 1) * INTERVAL '1 day')::date AS period_start,
       u.b_party
FROM usage u
LEFT JOIN guide_intervals g ON g.line = u.line AND g.from_at <= u.used_at AND u.used_at < g.until_at AND u.verdict IS NULL;
