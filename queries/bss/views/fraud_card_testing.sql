-- F5: many cards tried with small amounts from one place, to see which of them work.
--
-- Key: pivot, window_start. In: pay_attempts below 5 of any currency. Windows of 15 minutes that begin every minute, by BIN,
-- device and ip: a hit when 10 attempts or more, with 5 instruments or more, six tenths or more of them declined. An accepted
-- payment above 50 from the same place within the hour after makes it worse, and is named. A late attempt counts in its own
-- windows; when a declined one turns out to be accepted, or is voided, the hit may be taken back. A corrected instrument or
-- amount moves its attempt.
CREATE MATERIALIZED VIEW fraud_card_testing WITH (key = 'pivot,window_start') AS
WITH places AS (
    SELECT 'bin/' || bin AS pivot, customer_id, payment_id, instrument, amount, declined, accepted, attempted_at FROM pay_attempts WHERE bin IS NOT NULL
    UNION ALL
    SELECT 'device/' || device_id, customer_id, payment_id, instrument, amount, declined, accepted, attempted_at FROM pay_attempts WHERE device_id IS NOT NULL
    UNION ALL
    SELECT 'ip/' || ip, customer_id, payment_id, instrument, amount, declined, accepted, attempted_at FROM pay_attempts WHERE ip IS NOT NULL
), small AS (
    SELECT pivot, customer_id, payment_id, instrument, declined, attempted_at FROM places WHERE amount < 5
), tested AS (
    SELECT pivot, window_start, window_end, CASE WHEN count(DISTINCT customer_id) = 1 THEN max(customer_id) END AS customer_id, max(attempted_at) AS happened_at, count(*) AS attempts,
           count(DISTINCT instrument) AS instruments, count(*) FILTER (WHERE declined) AS declined,
           array_to_string((array_agg(payment_id ORDER BY attempted_at, payment_id))[1:20], ',') AS evidence
    FROM HOP(small, attempted_at, INTERVAL '1 minute', INTERVAL '15 minutes')
    GROUP BY pivot, window_start, window_end
    HAVING count(*) >= 10 AND count(DISTINCT instrument) >= 5 AND count(*) FILTER (WHERE declined) * 10 >= count(*) * 6
), worked AS (
    SELECT t.pivot, t.window_start, min(p.payment_id) AS payment_id, count(*) AS payments
    FROM tested t
    JOIN (SELECT pivot, payment_id, attempted_at FROM places WHERE accepted AND amount > 50) p
      ON p.pivot = t.pivot AND p.attempted_at >= t.window_start AND p.attempted_at < t.window_end + INTERVAL '1 hour'
    GROUP BY t.pivot, t.window_start
)
SELECT 'F5' AS rule_id, 1 AS rule_version, t.pivot, t.customer_id, t.window_start, t.happened_at,
       t.attempts, 10 AS attempts_max, t.instruments, 5 AS instruments_max, round(t.declined::numeric / t.attempts, 4) AS declined_share,
       0.6 AS declined_share_max, w.payment_id AS worked_payment_id,
       CASE WHEN w.payment_id IS NOT NULL THEN 1.0 ELSE 0.75 END AS score, t.evidence
FROM tested t
LEFT JOIN worked w ON w.pivot = t.pivot AND w.window_start = t.window_start;
