-- Whether services were set up in time and at the first try, by the week when they were ordered and the type of service.
--
-- Key: week, service_type. In: service_states, order_states, provisioning_steps, fact_voids, the clock. in_time: active before
-- sla_due; breached: active after it, or not active and sla_due has passed by the clock. first_time_right: active, and no step
-- failed, was rolled back or was tried again. A late failure takes it back. Services of cancelled orders are left out; those
-- whose order is not known count in the week of their last change. A corrected service counts as it is known now.
CREATE MATERIALIZED VIEW provisioning_quality WITH (key = 'week,service_type') AS
WITH steps AS (
    SELECT p.service_id, count(*) FILTER (WHERE p.event_type LIKE '%stepFailed%' OR p.event_type LIKE '%rolledBack%' OR p.attempt > 1) AS failures,
           (array_agg(p.step ORDER BY p.happened_at, p.event_id) FILTER (WHERE p.event_type LIKE '%stepFailed%'))[1] AS failed_step
    FROM provisioning_steps p
    LEFT JOIN (SELECT DISTINCT supersedes FROM fact_voids) v ON v.supersedes = p.event_id
    WHERE v.supersedes IS NULL AND p.service_id IS NOT NULL
    GROUP BY p.service_id
), services AS (
    SELECT s.service_id, coalesce(s.service_type, 'unknown') AS service_type, coalesce(o.ordered_at, s.changed_at) AS at, s.activated_at, s.sla_due,
           coalesce(p.failures, 0) AS failures, p.failed_step,
           CASE WHEN s.activated_at IS NOT NULL THEN s.activated_at > s.sla_due ELSE s.sla_due < now() END AS breached,
           extract(epoch FROM s.activated_at - o.ordered_at)::numeric(18, 3) / 3600 AS hours
    FROM service_states s
    LEFT JOIN order_states o ON o.order_id = s.order_id
    LEFT JOIN steps p ON p.service_id = s.service_id
    WHERE coalesce(o.state, '') NOT IN ('cancelled', 'rejected')
)
SELECT date_trunc('week', at)::date AS week, service_type, count(*) AS services, count(activated_at) AS activated,
       count(*) FILTER (WHERE activated_at <= sla_due) AS in_time, count(*) FILTER (WHERE breached) AS breached,
       count(*) FILTER (WHERE activated_at IS NOT NULL AND failures = 0) AS first_time_right,
       count(*) FILTER (WHERE failures > 0) AS with_failures, mode() WITHIN GROUP (ORDER BY failed_step) AS failing_step, round(avg(hours), 2) AS hours_to_activate
FROM services
GROUP BY date_trunc('week', at)::date, service_type;
