-- F11: somebody got into an account that is not theirs, and helps himself.
--
-- Key: act_id. In: logins, credential_changes, resource_history, order_states, customer_states, fact_voids. A row for each act
-- (an order of 500 or more, an eSIM that is issued, a number that is ported out, another account to pay out to) when in the 24
-- hours before it the same customer had five failed logins or more, an MFA reset or a SIM swap; and logged in from a device
-- never seen with them before; and changed password, email or phone; and did not pass a step-up (a login on channel stepUp). A
-- late or voided event of these changes the acts of the 24 hours after it; a cancelled order is no act.
CREATE MATERIALIZED VIEW fraud_takeover WITH (key = 'act_id') AS
WITH valid_logins AS (
    SELECT l.event_id, l.event_type, l.customer_id, l.device_id, l.channel, l.logged_in_at
    FROM logins l
    LEFT JOIN (SELECT DISTINCT supersedes FROM fact_voids) v ON v.supersedes = l.event_id
    WHERE v.supersedes IS NULL AND l.customer_id IS NOT NULL
), steps AS (
    SELECT customer_id, 'login/' || event_id AS id, logged_in_at AS at, NULL::text AS act,
           CASE WHEN event_type LIKE '%failed%' THEN 1 ELSE 0 END AS failed, 0 AS entry,
           CASE WHEN event_type LIKE '%succeeded%' AND before_any > 0 AND before_device = 0 AND device_id IS NOT NULL THEN 1 ELSE 0 END AS new_device,
           0 AS changed, CASE WHEN event_type LIKE '%succeeded%' AND channel = 'stepUp' THEN 1 ELSE 0 END AS passed, 0.0 AS amount
    FROM (
        SELECT event_id, event_type, customer_id, device_id, channel, logged_in_at,
               coalesce(sum(CASE WHEN event_type LIKE '%succeeded%' THEN 1 ELSE 0 END) OVER (PARTITION BY customer_id
                   ORDER BY logged_in_at, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before_any,
               coalesce(sum(CASE WHEN event_type LIKE '%succeeded%' THEN 1 ELSE 0 END) OVER (PARTITION BY customer_id, device_id
                   ORDER BY logged_in_at, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before_device
        FROM valid_logins
    ) seen
    UNION ALL
    SELECT customer_id, 'credential/' || event_id, changed_at, CASE WHEN field = 'payout' THEN 'payout' END,
           0, CASE WHEN event_type LIKE '%mfa.reset%' THEN 1 ELSE 0 END, 0, CASE WHEN field IN ('password', 'email', 'phone') THEN 1 ELSE 0 END, 0, 0.0
    FROM credential_changes
    WHERE customer_id IS NOT NULL
    UNION ALL
    SELECT customer_id, 'resource/' || resource_id || '@' || version::text, coalesce(effective_at, changed_at),
           CASE WHEN reason = 'portOut' THEN 'port-out' WHEN kind = 'esim' AND swapped_from IS NULL AND event_type LIKE '%assigned%' THEN 'esim' END,
           0, CASE WHEN swapped_from IS NOT NULL THEN 1 ELSE 0 END, 0, 0, 0, 0.0
    FROM resource_history
    WHERE customer_id IS NOT NULL AND (reason = 'portOut' OR kind = 'esim' OR swapped_from IS NOT NULL)
    UNION ALL
    SELECT customer_id, 'order/' || order_id, ordered_at, 'order', 0, 0, 0, 0, 0, gross
    FROM order_states
    WHERE gross >= 500 AND customer_id IS NOT NULL AND state NOT IN ('cancelled', 'rejected', 'failed')
)
SELECT 'F11' AS rule_id, 1 AS rule_version, 'customer/' || customer_id AS pivot, customer_id, id AS act_id, act, at AS happened_at, amount,
       failed AS failed_logins, 5 AS failed_logins_max, entries AS resets_and_swaps, new_devices, changes,
       least(1.0, 0.7 + CASE WHEN entries > 0 AND failed >= 5 THEN 0.2 ELSE 0.0 END + CASE WHEN act = 'order' THEN 0.0 ELSE 0.1 END) AS score,
       array_to_string(array_slice(array_sort(evidence), 1, 20), ',') AS evidence
FROM (
    SELECT customer_id, id, act, at, amount, sum(failed) OVER w AS failed, sum(entry) OVER w AS entries, sum(new_device) OVER w AS new_devices,
           sum(changed) OVER w AS changes, sum(passed) OVER w AS passes, array_agg(id) OVER w AS evidence
    FROM steps
    WINDOW w AS (PARTITION BY customer_id ORDER BY at RANGE BETWEEN INTERVAL '24 hours' PRECEDING AND CURRENT ROW)
) acts
WHERE act IS NOT NULL AND (failed >= 5 OR entries > 0) AND new_devices > 0 AND changes > 0 AND passes = 0;
