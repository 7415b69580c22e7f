-- How risky each customer is today, from 0 to 100, and what each rule has to do with it.
--
-- Key: customer_id. In: fraud_hits, customer_roots, the clock. The hits of a merged customer count for the one who goes on. The
-- part of a rule is its weight times the score of its hit, less by exp(-days / 7); the greatest of its hits counts, those of the
-- last 60 days. score = 100 x (1 - product of (1 - part)). Bands: approve below 40, review below 70, block_and_review below 90,
-- decline. Weights: F1 0.5, F2 0.4, F3 0.5, F4 0.6, F5 0.8, F6 0.5, F7 0.8, F8 0.8, F9 0.6, F10 0.7, F11 0.9, F12 0.6. A hit that
-- is taken back takes its part along; the decay goes by the day. Late and corrected events change it as they change the hits.
CREATE MATERIALIZED VIEW risk_score WITH (key = 'customer_id') AS
WITH days AS (
    SELECT coalesce(r.goes_on_as, h.customer_id) AS customer_id, h.rule_id, h.happened_at::date AS day, max(h.score) AS score
    FROM fraud_hits h
    LEFT JOIN customer_roots r ON r.customer_id = h.customer_id
    WHERE h.customer_id IS NOT NULL AND h.happened_at > now() - INTERVAL '60 days'
    GROUP BY coalesce(r.goes_on_as, h.customer_id), h.rule_id, h.happened_at::date
), parts AS (
    SELECT d.customer_id, d.rule_id, d.score::double precision * exp(-greatest(t.today - d.day, 0)::double precision / 7) AS part
    FROM days d
    CROSS JOIN clock_day t
), shares AS (
    SELECT customer_id,
           coalesce(max(0.5 * part) FILTER (WHERE rule_id = 'F1'), 0) AS f1, coalesce(max(0.4 * part) FILTER (WHERE rule_id = 'F2'), 0) AS f2,
           coalesce(max(0.5 * part) FILTER (WHERE rule_id = 'F3'), 0) AS f3, coalesce(max(0.6 * part) FILTER (WHERE rule_id = 'F4'), 0) AS f4,
           coalesce(max(0.8 * part) FILTER (WHERE rule_id = 'F5'), 0) AS f5, coalesce(max(0.5 * part) FILTER (WHERE rule_id = 'F6'), 0) AS f6,
           coalesce(max(0.8 * part) FILTER (WHERE rule_id = 'F7'), 0) AS f7, coalesce(max(0.8 * part) FILTER (WHERE rule_id = 'F8'), 0) AS f8,
           coalesce(max(0.6 * part) FILTER (WHERE rule_id = 'F9'), 0) AS f9, coalesce(max(0.7 * part) FILTER (WHERE rule_id = 'F10'), 0) AS f10,
           coalesce(max(0.9 * part) FILTER (WHERE rule_id = 'F11'), 0) AS f11, coalesce(max(0.6 * part) FILTER (WHERE rule_id = 'F12'), 0) AS f12
    FROM parts
    GROUP BY customer_id
), scored AS (
    SELECT *, round((100 * (1 - (1 - f1) * (1 - f2) * (1 - f3) * (1 - f4) * (1 - f5) * (1 - f6)
                              * (1 - f7) * (1 - f8) * (1 - f9) * (1 - f10) * (1 - f11) * (1 - f12)))::numeric, 2) AS score
    FROM shares
)
SELECT customer_id, score,
       CASE WHEN score < 40 THEN 'approve' WHEN score < 70 THEN 'review' WHEN score < 90 THEN 'block_and_review' ELSE 'decline' END AS band,
       round(f1::numeric, 4) AS f1, round(f2::numeric, 4) AS f2, round(f3::numeric, 4) AS f3, round(f4::numeric, 4) AS f4,
       round(f5::numeric, 4) AS f5, round(f6::numeric, 4) AS f6, round(f7::numeric, 4) AS f7, round(f8::numeric, 4) AS f8,
       round(f9::numeric, 4) AS f9, round(f10::numeric, 4) AS f10, round(f11::numeric, 4) AS f11, round(f12::numeric, 4) AS f12
FROM scored;
