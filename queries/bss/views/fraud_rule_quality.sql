-- How good each rule is, by week: what it found, what turned out, what it missed.
--
-- Key: rule_id, rule_version, week. In: fraud_hits, fraud_labels. An alert is a rule and a pivot on a day. It is right when a
-- label that says fraud is of its payment, or, naming no payment, of its pivot or customer within seven days (90 after, for
-- F10 and F12, which take their time); wrong when only labels that say no fraud are; undecided else. Weeks are those of the
-- hits for alerts and those of the fraud for frauds: frauds counts labels whose kind is the rule, caught those that it hit. A
-- revoked label turns right into wrong; a label that comes late decides late.
CREATE MATERIALIZED VIEW fraud_rule_quality WITH (key = 'rule_id,rule_version,week') AS
WITH labels AS (
    SELECT label_id, kind, payment_id, pivot, customer_id, coalesce(amount, 0) AS amount, coalesce(happened_at, known_at) AS at,
           coalesce(is_fraud, true) AND event_type NOT LIKE '%revoked%' AS fraud
    FROM fraud_labels
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
), alerts AS (
    SELECT h.rule_id, h.rule_version, h.pivot, h.happened_at::date AS day, bool_or(v.fraud) AS fraud
    FROM fraud_hits h
    LEFT JOIN verdicts v ON v.rule_id = h.rule_id AND v.rule_version = h.rule_version AND v.pivot = h.pivot AND v.hit_id = h.hit_id
    GROUP BY h.rule_id, h.rule_version, h.pivot, h.happened_at::date
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
           count(*) AS frauds, count(h.label_id) AS caught, coalesce(sum(l.amount) FILTER (WHERE h.label_id IS NOT NULL), 0) AS amount_caught,
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
       m.hours_to_detect, coalesce(m.amount_caught, 0) AS amount_caught
FROM found f
FULL JOIN missed m ON m.rule_id = f.rule_id AND m.rule_version = f.rule_version AND m.week = f.week;
