-- Who pays for the use of a line when: a line is a number (`n:..`), through its service to a subscription, or a subscription itself
-- (`s:..`).
--
-- Key: line, subscription_id, from_at. In: resource_intervals, service_history, subscription_intervals, billing_accounts.
-- Intervals of card, service and subscription are cut with each other, so a late change of any of them moves what was used
-- meanwhile. Nobody pays for what is used after a subscription has ended. What is superseded never was.
CREATE MATERIALIZED VIEW guide_intervals WITH (key = 'line,subscription_id,from_at') AS
WITH lines AS (
    SELECT 'n:' || r.msisdn AS line, s.subscription_id, greatest(r.from_at, s.from_at) AS from_at,
           least(coalesce(r.until_at, TIMESTAMP '2200-01-01'), coalesce(s.until_at, TIMESTAMP '2200-01-01')) AS until_at
    FROM resource_intervals r
    JOIN service_intervals s ON s.service_id = r.service_id
    WHERE r.msisdn IS NOT NULL
    UNION ALL
    SELECT DISTINCT 's:' || subscription_id, subscription_id, TIMESTAMP '1970-01-01', TIMESTAMP '2200-01-01'
    FROM subscription_intervals
)
SELECT l.line, p.subscription_id, p.customer_id, p.account_id, p.offering_id, p.state, p.currency,
       coalesce(a.time_zone, 'UTC') AS time_zone, coalesce(a.bill_cycle_day, 1) AS bill_cycle_day,
       greatest(l.from_at, p.from_at) AS from_at,
       least(l.until_at, coalesce(p.until_at, TIMESTAMP '2200-01-01')) AS until_at
FROM lines l
JOIN subscription_intervals p ON p.subscription_id = l.subscription_id
LEFT JOIN billing_accounts a ON a.account_id = p.account_id
WHERE p.state NOT IN ('terminated', 'cancelled', 'aborted')
  AND greatest(l.from_at, p.from_at) < least(l.until_at, coalesce(p.until_at, TIMESTAMP '2200-01-01'));
