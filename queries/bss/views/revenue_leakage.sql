-- What is delivered and not paid for: services without a subscription, usage that matches none, subscriptions nobody uses.
--
-- Key: kind, entity_id. In: service_states, subscriptions, usage_guided, usage_unmatched, guide_intervals, the clock. 'service
-- without subscription': active, and its subscription unknown or ended; 'usage nobody pays for': by line; 'usage while
-- suspended': records guided to a subscription that was suspended then; 'no usage for 30 days': active longer than that and
-- without a record since, by the clock. A late event takes its row away. A correction takes it away as well, or brings it.
CREATE MATERIALIZED VIEW revenue_leakage WITH (key = 'kind,entity_id') AS
SELECT 'service without subscription' AS kind, s.service_id AS entity_id, count(*) AS found
FROM service_states s
LEFT JOIN subscriptions p ON p.subscription_id = s.subscription_id
WHERE s.state = 'active' AND (p.subscription_id IS NULL OR p.state IN ('terminated', 'cancelled', 'aborted'))
GROUP BY s.service_id
UNION ALL
SELECT 'usage nobody pays for', line, count(*)
FROM usage_unmatched
WHERE line IS NOT NULL
GROUP BY line
UNION ALL
SELECT 'usage while suspended', g.subscription_id, count(*)
FROM usage_guided g
JOIN guide_intervals i ON i.line = g.line AND i.from_at <= g.used_at AND g.used_at < i.until_at
WHERE g.status = 'guided' AND i.state = 'suspended'
GROUP BY g.subscription_id
UNION ALL
SELECT 'no usage for 30 days', s.subscription_id, 1
FROM subscriptions s
WHERE s.state = 'active' AND s.from_at + INTERVAL '30 days' <= now()
  AND NOT EXISTS (
      SELECT 1 FROM usage_guided g WHERE g.subscription_id = s.subscription_id AND g.used_at > now() - INTERVAL '30 days'
  );
