-- How good each rule is, by week: what it found, what turned out, what it missed.
--
-- Key: rule_id, rule_version, week. In: fraud_hits, fraud_alerts, fraud_labels, payment_states. Alerts are those of fraud_alerts,
-- in the week when they were opened. One is right or wrong as whoever resolved it says (truePositive, falsePositive); else it is
-- right when a label that says fraud is of one of its payments, or, naming no payment, of its pivot or customer within seven days
-- (90 after, for F10 and F12, which take their time); wrong when only labels that say no fraud are; undecided else. Weeks of
-- frauds are those of the fraud: frauds counts labels whose kind is the rule, caught those that it hit; amount_prevented is what
-- those that it caught are worth (the label's amount, else the payment's; currencies are not told apart), and hours_to_detect the
-- mean time from the fraud to the first hit. A revoked label turns right into wrong; a label that comes late decides late. A
-- corrected label decides anew.
CREATE MATERIALIZED VIEW fraud_rule_quality WITH (key = 'rule_id,rule_version,week') AS
WITH labels AS (
    SELECT l.label_id, l.kind, l.payment_id, l.pivot, l.customer_id, coalesce(l.amount, p.amount, 0) AS amount,
           coalesce(l.happened_at, l.known_at) AS at, coalesce(l.is_fraud, true) AND l.event_type NOT LIKE '%revoked%' AS fraud
    FROM fraud_labels l
    LEFT JOIN payment_states p ON p.payment_id = l.payment_id
), matched AS (
    SELECT h.rule_id, h.rule_version, h.pivot, h.hit_id, h.happened_at, l.label_id, l.fraud, l.at
    FROM fraud_hits h JOIN labels l ON l.payment_id = h.payment_id
    UNION
    SELECT h.rule_id, h.rule_version, h.pivot, h.hit_id, h.happened_at, l.label_id, l.fraud, l.at
    FROM fraud_hits h JOIN labels l ON l.pivot = h.pivot AND l.payment_id IS NULL
    WHERE h.happened_at BETWEEN l.at - INTERVAL '7 days' AND l.at + CASE WHEN h.rule_id IN ('F10', 'F12') THEN INTERVAL '90 days' ELSE INTERVAL '7 days' END
    UNION
    SELECT h.rule_id, h.rule_version, h.pivot, h.hit_id, h.happened_at, l.label_id, l.fraud, l.at
    FROM fraud_hits h JOIN labels l ON l.customer_id = h.customer_id AND l.payment_id IS NULL
    WHERE h.happened_at BETWEEN l.at - INTERVAL '7 days' AND l.at + CASE WHEN h.rule_id IN ('F10', 'F12') THEN INTERVAL '90 days' ELSE INTERVAL '7 days' END
), verdicts AS (
    SELECT rule_id, rule_version, pivot, hit_id, bool_or(fraud) AS fraud FROM matched GROUP BY rule_id, rule_version, pivot, hit_id
), decided AS (
    SELECT a.rule_id, a.rule_version, a.pivot, a.opened_at, a.alert_id, a.disposition, bool_or(v.fraud) AS fraud
    FROM fraud_alerts a
    JOIN fraud_hits h ON h.rule_id = a.rule_id AND h.pivot = a.pivot AND h.happened_at >= a.opened_at AND h.happened_at <= a.last_at
    LEFT JOIN verdicts v ON v.rule_id = h.rule_id AND v.rule_version = h.rule_version AND v.pivot = h.pivot AND v.hit_id = h.hit_id
    GROUP BY a.rule_id, a.rule_version, a.pivot, a.opened_at, a.alert_id, a.disposition
), alerts AS (
    SELECT rule_id, rule_version, opened_at::date AS day,
           CASE disposition WHEN 'truePositive' THEN true WHEN 'falsePositive' THEN false ELSE fraud END AS fraud
    FROM decided
), found AS (
    SELECT rule_id, rule_version, date_trunc('week', day::timestamp)::date AS week, count(*) AS alerts,
           count(*) FILTER (WHERE fraud) AS right_ones, count(*) FILTER (WHERE NOT fraud) AS wrong_ones,
           count(*) FILTER (WHERE fraud IS NULL) AS undecided
    FROM alerts
    GROUP BY rule_id, rule_version, date_trunc('week', day::timestamp)::date
), first_hits AS (
    SELECT rule_id, rule_version, label_id, min(happened_at) AS happened_at FROM matched GROUP BY rule_id, rule_version, label_id
), missed AS (
    SELECT l.kind AS rule_id, coalesce(h.rule_version, 1) AS rule_version, date_trunc('week', l.at)::date AS week,
           count(*) AS frauds, count(h.label_id) AS caught, coalesce(sum(l.amount) FILTER (WHERE h.label_id IS NOT NULL), 0) AS amount_prevented,
           round(avg(extract(epoch FROM h.happened_at - l.at)::numeric(18, 3)) / 3600, 2) AS hours_to_detect
    FROM labels l
    LEFT JOIN first_hits h ON h.label_id = l.label_id AND h.rule_id = l.kind
    WHERE l.fraud AND l.kind IS NOT NULL
    GROUP BY l.kind, coalesce(h.rule_version, 1), date_trunc('week', l.at)::date
)
SELECT coalesce(f.rule_id, m.rule_id) AS rule_id, coalesce(f.rule_version, m.rule_version) AS rule_version, coalesce(f.week, m.week) AS week,
       coalesce(f.alerts, 0) AS alerts, coalesce(f.right_ones, 0) AS right_ones, coalesce(f.wrong_ones, 0) AS wrong_ones, coalesce(f.undecided, 0) AS undecided,
       coalesce(m.frauds, 0) AS frauds, coalesce(m.caught, 0) AS caught,
       CASE WHEN f.right_ones + f.wrong_ones > 0 THEN round(f.right_ones::numeric / (f.right_ones + f.wrong_ones), 4) END AS precision,
       CASE WHEN m.frauds > 0 THEN round(m.caught::numeric / m.frauds, 4) END AS recall,
       m.hours_to_detect, coalesce(m.amount_prevented, 0) AS amount_prevented
FROM found f
FULL JOIN missed m ON m.rule_id = f.rule_id AND m.rule_version = f.rule_version AND m.week = f.week;
