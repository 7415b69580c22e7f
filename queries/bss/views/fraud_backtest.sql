-- F1 with other thresholds over all that happened, beside the one that is live: what would change.
--
-- Key: day. In: fraud_candidate_hits, fraud_velocity, fraud_labels. The candidate (version 2) hits from 4 attempts per instrument and
-- 6 per customer within 10 minutes. only_live and only_candidate are the payments on which the two differ; right and wrong are
-- by the labels of those payments. To try another rule, declare a view like this one with its condition: it is computed over
-- the whole log, then kept. The payments themselves are in fraud_backtest_differences. Late, corrected and voided attempts and
-- labels change the counts of their day.
CREATE MATERIALIZED VIEW fraud_backtest WITH (key = 'day') AS
WITH candidate AS (
    SELECT payment_id, attempted_at::date AS day FROM fraud_candidate_hits
), live AS (
    SELECT DISTINCT payment_id, happened_at::date AS day FROM fraud_velocity
), labels AS (
    SELECT payment_id, bool_or(coalesce(is_fraud, true) AND event_type NOT LIKE '%revoked%') AS fraud
    FROM fraud_labels WHERE payment_id IS NOT NULL GROUP BY payment_id
), both_of AS (
    SELECT coalesce(l.day, c.day) AS day, l.payment_id IS NOT NULL AS live, c.payment_id IS NOT NULL AS candidate, b.fraud
    FROM live l
    FULL JOIN candidate c ON c.payment_id = l.payment_id
    LEFT JOIN labels b ON b.payment_id = coalesce(l.payment_id, c.payment_id)
)
SELECT day, count(*) FILTER (WHERE live) AS live_hits, count(*) FILTER (WHERE candidate) AS candidate_hits,
       count(*) FILTER (WHERE live AND NOT candidate) AS only_live, count(*) FILTER (WHERE candidate AND NOT live) AS only_candidate,
       count(*) FILTER (WHERE live AND fraud) AS live_right, count(*) FILTER (WHERE live AND NOT fraud) AS live_wrong,
       count(*) FILTER (WHERE candidate AND fraud) AS candidate_right, count(*) FILTER (WHERE candidate AND NOT fraud) AS candidate_wrong
FROM both_of
GROUP BY day;
