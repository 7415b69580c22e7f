-- How good each rule was, by the month of the payments: alerts, right and wrong ones, frauds that it missed.
--
-- Key: rule, month. In: scored, labels. 'combined' is a score of 0.9 or more. An alert without a label is undecided and counts in
-- neither share; it moves when its label arrives. precision = right / (right + wrong); recall = right / (right + missed).
CREATE MATERIALIZED VIEW rule_quality WITH (key = 'rule,month') AS
WITH counted AS (
    SELECT to_char(s.paid_at, 'YYYY-MM') AS month, l.is_fraud AS is_fraud, count(*) AS payments,
           count(*) FILTER (WHERE f1) AS f1, sum(s.amount) FILTER (WHERE f1) AS f1_amount,
           count(*) FILTER (WHERE f2) AS f2, sum(s.amount) FILTER (WHERE f2) AS f2_amount,
           count(*) FILTER (WHERE f3) AS f3, sum(s.amount) FILTER (WHERE f3) AS f3_amount,
           count(*) FILTER (WHERE burst) AS burst, sum(s.amount) FILTER (WHERE burst) AS burst_amount,
           count(*) FILTER (WHERE spree) AS spree, sum(s.amount) FILTER (WHERE spree) AS spree_amount,
           count(*) FILTER (WHERE night) AS night, sum(s.amount) FILTER (WHERE night) AS night_amount,
           count(*) FILTER (WHERE score >= 0.9) AS combined, sum(s.amount) FILTER (WHERE score >= 0.9) AS combined_amount
    FROM scored s
    LEFT JOIN labels l ON l.payment_id = s.payment_id
    GROUP BY to_char(s.paid_at, 'YYYY-MM'), l.is_fraud
), by_rule AS (
    SELECT r.rule, month, is_fraud, payments,
           CASE r.rule WHEN 'F1' THEN f1 WHEN 'F2' THEN f2 WHEN 'F3' THEN f3 WHEN 'burst' THEN burst
                       WHEN 'spree' THEN spree WHEN 'night' THEN night ELSE combined END AS alerts,
           CASE r.rule WHEN 'F1' THEN f1_amount WHEN 'F2' THEN f2_amount WHEN 'F3' THEN f3_amount WHEN 'burst' THEN burst_amount
                       WHEN 'spree' THEN spree_amount WHEN 'night' THEN night_amount ELSE combined_amount END AS amount
    FROM counted
    CROSS JOIN (VALUES ('F1'), ('F2'), ('F3'), ('burst'), ('spree'), ('night'), ('combined')) r (rule)
), summed AS (
    SELECT rule, month,
           sum(alerts) AS alerts,
           coalesce(sum(alerts) FILTER (WHERE is_fraud), 0) AS right_ones,
           coalesce(sum(alerts) FILTER (WHERE NOT is_fraud), 0) AS wrong_ones,
           coalesce(sum(alerts) FILTER (WHERE is_fraud IS NULL), 0) AS undecided,
           coalesce(sum(payments) FILTER (WHERE is_fraud), 0) AS frauds,
           coalesce(sum(amount) FILTER (WHERE is_fraud), 0) AS amount_caught
    FROM by_rule
    GROUP BY rule, month
)
SELECT rule, month, alerts, right_ones, wrong_ones, undecided, frauds,
       CASE WHEN right_ones + wrong_ones > 0 THEN round(right_ones::numeric / (right_ones + wrong_ones), 4) END AS precision,
       CASE WHEN frauds > 0 THEN round(right_ones::numeric / frauds, 4) END AS recall,
       amount_caught
FROM summed;
