-- What somebody should look at: hits of one rule at one pivot put together, and what was done about them.
--
-- Key: rule_id, pivot, opened_at, alert_id. In: fraud_hits, alert_states, alert_events, entity_lists, the clock. Hits belong
-- together while no 24 hours pass between them and no resolution comes between; so there is one open alert of a rule and pivot
-- at most. What was done belongs to the alert that was there when it was first taken, up to 24 hours after its last hit.
-- state: open; acknowledged (assigned by an event); resolved, with its disposition; snoozed (the event says until when, or the
-- list snooze holds rule_id/pivot); quiet 24 hours after its last hit when nobody took it; withdrawn when somebody took it and
-- its hits are gone: then the record stays, without hits. An alert that nobody took and whose cause goes leaves no row.
-- Evidence names the first 20 hits. Replay fires nothing again: the key is the same. A late hit may open an alert earlier, or
-- join two; a corrected one moves to the alert that it belongs to.
CREATE MATERIALIZED VIEW fraud_alerts WITH (key = 'rule_id,pivot,opened_at,alert_id') AS
WITH steps AS (
    SELECT rule_id, pivot, hit_id, happened_at AS hit_at, rule_version, customer_id, score,
           lag(happened_at) OVER (PARTITION BY rule_id, pivot ORDER BY happened_at, hit_id) AS before_at
    FROM fraud_hits
), parted AS (
    SELECT DISTINCT s.rule_id, s.pivot, s.hit_id
    FROM steps s
    JOIN alert_states a ON a.rule_id = s.rule_id AND a.pivot = s.pivot AND a.state = 'resolved'
                       AND a.changed_at >= s.before_at AND a.changed_at < s.hit_at
), numbered AS (
    SELECT s.rule_id, s.pivot, s.hit_id, s.hit_at, s.rule_version, s.customer_id, s.score,
           sum(CASE WHEN s.before_at IS NULL OR s.hit_at - s.before_at > INTERVAL '24 hours' OR p.hit_id IS NOT NULL THEN 1 ELSE 0 END)
               OVER (PARTITION BY s.rule_id, s.pivot ORDER BY s.hit_at, s.hit_id, s.before_at NULLS FIRST ROWS UNBOUNDED PRECEDING) AS episode
    FROM steps s
    LEFT JOIN parted p ON p.rule_id = s.rule_id AND p.pivot = s.pivot AND p.hit_id = s.hit_id
), episodes AS (
    SELECT rule_id, pivot, min(hit_at) AS opened_at, max(hit_at) AS last_at, count(*) AS hits, max(rule_version) AS rule_version,
           max(customer_id) AS customer_id, max(score) AS score,
           lead(min(hit_at)) OVER (PARTITION BY rule_id, pivot ORDER BY episode) AS next_at,
           array_to_string((array_agg(hit_id ORDER BY hit_at, hit_id))[1:20], ',') AS evidence
    FROM numbered
    GROUP BY rule_id, pivot, episode
), taken AS (
    SELECT a.alert_id, a.rule_id, a.pivot, a.state, a.disposition, a.assignee, a.snoozed_until, e.taken_at, a.changed_at, a.rule_version, a.score
    FROM alert_states a
    JOIN (SELECT alert_id, min(happened_at) AS taken_at FROM alert_events GROUP BY alert_id) e ON e.alert_id = a.alert_id
    WHERE a.rule_id IS NOT NULL AND a.pivot IS NOT NULL
), said AS (
    SELECT e.rule_id, e.pivot, e.opened_at, a.alert_id, a.state, a.disposition, a.assignee, a.snoozed_until, a.changed_at
    FROM episodes e
    JOIN taken a ON a.rule_id = e.rule_id AND a.pivot = e.pivot
                AND a.taken_at >= e.opened_at AND a.taken_at <= e.last_at + INTERVAL '24 hours'
                AND (e.next_at IS NULL OR a.taken_at < e.next_at)
), latest AS (
    SELECT DISTINCT ON (rule_id, pivot, opened_at) rule_id, pivot, opened_at, alert_id, state, disposition, assignee, snoozed_until
    FROM said
    ORDER BY rule_id, pivot, opened_at, changed_at DESC, alert_id DESC
)
SELECT e.rule_id, e.pivot, e.opened_at, e.last_at, e.hits, e.rule_version, e.customer_id, e.score,
       CASE WHEN l.state = 'resolved' THEN 'resolved'
            WHEN l.state IS NULL AND e.last_at + INTERVAL '24 hours' <= now() THEN 'quiet'
            WHEN l.snoozed_until > now() OR z.expires_at > now() THEN 'snoozed'
            WHEN l.state IN ('assigned', 'acknowledged') THEN 'acknowledged'
            ELSE 'open' END AS state,
       l.alert_id, l.disposition, l.assignee, e.evidence
FROM episodes e
LEFT JOIN latest l ON l.rule_id = e.rule_id AND l.pivot = e.pivot AND l.opened_at = e.opened_at
LEFT JOIN entity_lists z ON z.list_name = 'snooze' AND z.entity_key = e.rule_id || '/' || e.pivot
UNION ALL
SELECT a.rule_id, a.pivot, a.taken_at, a.changed_at, 0, a.rule_version, NULL, a.score,
       CASE WHEN a.state = 'resolved' THEN 'resolved' ELSE 'withdrawn' END, a.alert_id, a.disposition, a.assignee, NULL
FROM taken a
LEFT JOIN (SELECT DISTINCT alert_id FROM said) s ON s.alert_id = a.alert_id
WHERE s.alert_id IS NULL;
