-- Payments whose steps do not follow from each other, and those that gave back more than they took.
--
-- Key: payment_id, anomaly. In: payment_steps, refund_states. A step that comes late and was missing takes its row away again; so
-- does a correction. A refund before its capture waits here.
CREATE MATERIALIZED VIEW payment_anomalies WITH (key = 'payment_id,anomaly') AS
SELECT payment_id, anomaly
FROM (
    SELECT s.payment_id,
           unnest(array[
               CASE WHEN s.ended < s.moved THEN 'money moved after it ended' END,
               CASE WHEN s.charged_back > 0 AND s.settled = 0 THEN 'charged back before it was settled' END,
               CASE WHEN s.won > s.charged_back THEN 'won back what was not charged back' END,
               CASE WHEN s.captured > s.amount THEN 'captured more than authorized' END,
               CASE WHEN s.kinds > 1 THEN 'several currencies' END
           ]) AS anomaly
    FROM (
        SELECT payment_id,
               min(version) FILTER (WHERE state IN ('failed', 'denied', 'canceled')) AS ended,
               max(version) FILTER (WHERE state IN ('captured', 'settled')) AS moved,
               coalesce(sum(amount) FILTER (WHERE state = 'settled'), 0) AS settled,
               coalesce(sum(amount) FILTER (WHERE state = 'chargedBack'), 0) AS charged_back,
               coalesce(sum(amount) FILTER (WHERE state = 'representmentWon'), 0) AS won,
               max(amount) FILTER (WHERE state = 'captured') AS captured,
               max(amount) FILTER (WHERE state = 'authorized') AS amount,
               count(DISTINCT currency) AS kinds
        FROM payment_steps
        GROUP BY payment_id
    ) s
    UNION ALL
    SELECT r.payment_id, CASE WHEN c.captured IS NULL THEN 'refunded before it was captured' ELSE 'refunded more than captured' END
    FROM (SELECT payment_id, sum(amount) AS refunded FROM refund_states WHERE state = 'done' GROUP BY payment_id) r
    LEFT JOIN (
        SELECT payment_id, max(amount) AS captured FROM payment_steps WHERE state IN ('captured', 'settled') GROUP BY payment_id
    ) c ON c.payment_id = r.payment_id
    WHERE r.refunded > coalesce(c.captured, 0)
) a
WHERE anomaly IS NOT NULL;
