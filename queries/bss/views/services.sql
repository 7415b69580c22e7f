-- Each service as known now: its state, how its provisioning goes, what it holds, and whether it is late.
--
-- Key: service_id. In: service_states, provisioning_steps, order_states, resource_intervals, the clock. open_steps began and neither
-- completed, failed nor were rolled back in their last attempt; retries are attempts beyond the first. sla_breached says that
-- the service was due and not active; the clock alone makes it so. A swapped card counts from its effective time. Late steps
-- count where they belong; a cancelled service stays, with its state. A correction is the next version and takes the place of
-- the one before.
CREATE MATERIALIZED VIEW services WITH (key = 'service_id') AS
WITH steps AS (
    SELECT service_id, step, max(attempt) AS attempts,
           arg_max(CASE WHEN event_type LIKE '%stepStarted%' THEN 1 ELSE 0 END,
                   coalesce(attempt, 1) * 2 + CASE WHEN event_type LIKE '%stepStarted%' THEN 0 ELSE 1 END) AS is_open
    FROM provisioning_steps
    GROUP BY service_id, step
), provisioning AS (
    SELECT service_id, sum(is_open) AS open_steps, sum(greatest(coalesce(attempts, 1) - 1, 0)) AS retries
    FROM steps
    GROUP BY service_id
), held AS (
    SELECT service_id, max(msisdn) AS msisdn, max(imsi) AS imsi, max(iccid) AS iccid, max(imei) AS imei
    FROM resource_intervals
    WHERE from_at <= now() AND coalesce(until_at, TIMESTAMP '2200-01-01') > now()
    GROUP BY service_id
), late AS (
    SELECT service_id
    FROM service_states
    WHERE sla_due < now() AND activated_at IS NULL AND state NOT IN ('active', 'terminated', 'suspended')
)
SELECT s.service_id, s.subscription_id, s.customer_id, s.order_id, s.service_type, s.state, s.operating_status,
       s.activated_at, s.activated_at - o.ordered_at AS time_to_activate, s.sla_due,
       l.service_id IS NOT NULL OR coalesce(s.activated_at > s.sla_due, false) AS sla_breached,
       coalesce(p.open_steps, 0) AS open_steps, coalesce(p.retries, 0) AS retries,
       h.msisdn, h.imsi, h.iccid, h.imei, s.changed_at
FROM service_states s
LEFT JOIN order_states o ON o.order_id = s.order_id
LEFT JOIN provisioning p ON p.service_id = s.service_id
LEFT JOIN held h ON h.service_id = s.service_id
LEFT JOIN late l ON l.service_id = s.service_id;
