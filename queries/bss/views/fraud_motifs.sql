-- F12, by the flow of money: circles of payments, and many who pay one, or one who pays many.
--
-- Key: pivot. In: money_flows. cycle: two, three or four customers who paid on each other's accounts in a circle, each within 7
-- days after the one before, the last payment at least half of the first; the smallest customer of the circle names it,
-- `cycle/A>B>C`. fan-in: within 24 hours 5 customers or more paid on the account of one, `fan-in/C`; fan-out: one paid for 5
-- others, `fan-out/C`. Only payments of one currency are put together; happened_at is the last payment of the last time. When a
-- payment is voided, charged back or corrected, or two of them are merged, the circle opens and the row goes. A late payment
-- counts at its own time.
CREATE MATERIALIZED VIEW fraud_motifs WITH (key = 'pivot') AS
WITH steps AS (
    SELECT payment_id, from_customer AS a, to_customer AS b, amount, currency, paid_at AS at FROM money_flows
), twos AS (
    SELECT s.a, s.b, t.b AS c, s.currency, s.amount AS first_amount, t.amount AS last_amount, t.at AS at, s.amount + t.amount AS total,
           s.payment_id || ',' || t.payment_id AS evidence
    FROM steps s
    JOIN steps t ON t.a = s.b AND t.currency = s.currency AND t.at > s.at AND t.at <= s.at + INTERVAL '7 days'
), threes AS (
    SELECT s.a, s.b, s.c, t.b AS d, s.currency, s.first_amount, t.amount AS last_amount, t.at AS at, s.total + t.amount AS total,
           s.evidence || ',' || t.payment_id AS evidence
    FROM twos s
    JOIN steps t ON t.a = s.c AND t.currency = s.currency AND t.at > s.at AND t.at <= s.at + INTERVAL '7 days'
    WHERE s.c <> s.a AND t.b <> s.b
), fours AS (
    SELECT s.a, s.b, s.c, s.d, s.currency, s.first_amount, t.amount AS last_amount, t.at AS at, s.total + t.amount AS total,
           s.evidence || ',' || t.payment_id AS evidence
    FROM threes s
    JOIN steps t ON t.a = s.d AND t.b = s.a AND t.currency = s.currency AND t.at > s.at AND t.at <= s.at + INTERVAL '7 days'
    WHERE s.d <> s.a
), circles AS (
    SELECT CASE WHEN a < b THEN a || '>' || b ELSE b || '>' || a END AS circle, least(a, b) AS customer_id, 2 AS customers, currency,
           first_amount, last_amount, at, total, evidence
    FROM twos WHERE c = a
    UNION ALL
    SELECT CASE WHEN a < b AND a < c THEN a || '>' || b || '>' || c WHEN b < c THEN b || '>' || c || '>' || a ELSE c || '>' || a || '>' || b END,
           least(a, b, c), 3, currency, first_amount, last_amount, at, total, evidence
    FROM threes WHERE d = a
    UNION ALL
    SELECT CASE WHEN a < b AND a < c AND a < d THEN a || '>' || b || '>' || c || '>' || d
                WHEN b < c AND b < d THEN b || '>' || c || '>' || d || '>' || a
                WHEN c < d THEN c || '>' || d || '>' || a || '>' || b
                ELSE d || '>' || a || '>' || b || '>' || c END,
           least(a, b, c, d), 4, currency, first_amount, last_amount, at, total, evidence
    FROM fours
), cycles AS (
    SELECT 'cycle/' || circle AS pivot, 'cycle' AS motif, customer_id, max(customers) AS customers, count(*) AS times, max(at) AS happened_at,
           sum(total) AS amount, min(currency) AS currency, count(DISTINCT currency) AS currencies,
           (array_agg(evidence ORDER BY at, evidence))[1] AS evidence
    FROM circles
    WHERE last_amount * 2 >= first_amount
    GROUP BY circle, customer_id
), fans AS (
    SELECT 'fan-in/' || b AS pivot, 'fan-in' AS motif, b AS customer_id, currency, others, at, total, evidence
    FROM (
        SELECT b, currency, at, count(DISTINCT a) OVER w AS others, sum(amount) OVER w AS total, array_agg(payment_id) OVER w AS evidence
        FROM steps
        WINDOW w AS (PARTITION BY b, currency ORDER BY at RANGE BETWEEN INTERVAL '24 hours' PRECEDING AND CURRENT ROW)
    ) fan_in
    WHERE others >= 5
    UNION ALL
    SELECT 'fan-out/' || a, 'fan-out', a, currency, others, at, total, evidence
    FROM (
        SELECT a, currency, at, count(DISTINCT b) OVER w AS others, sum(amount) OVER w AS total, array_agg(payment_id) OVER w AS evidence
        FROM steps
        WINDOW w AS (PARTITION BY a, currency ORDER BY at RANGE BETWEEN INTERVAL '24 hours' PRECEDING AND CURRENT ROW)
    ) fan_out
    WHERE others >= 5
), widest AS (
    SELECT DISTINCT ON (pivot) pivot, motif, customer_id, others, at, total, currency,
           array_to_string(array_slice(array_sort(evidence), 1, 20), ',') AS evidence
    FROM fans
    ORDER BY pivot, others DESC, at DESC, currency, total DESC
)
SELECT 'F12' AS rule_id, 1 AS rule_version, pivot, motif, customer_id, customers, 2 AS customers_min, times, happened_at, amount,
       CASE WHEN currencies = 1 THEN currency END AS currency, least(1.0, 0.5 + 0.1 * customers + 0.05 * (times - 1)) AS score, evidence
FROM cycles
UNION ALL
SELECT 'F12', 1, pivot, motif, customer_id, others, 5, 1, at, total, currency, least(1.0, 0.4 + 0.04 * others), evidence
FROM widest;
