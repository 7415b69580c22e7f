-- Each payment as known now, with what was captured, given back and charged back.
--
-- Key: payment_id. In: payment_states, payment_steps, refund_states. A late event changes nothing where a newer state is known,
-- but its amount counts. A failed, denied or canceled payment keeps that state whatever follows, which payment_anomalies shows;
-- the attempt that follows it is a row of its own. net = captured - refunded - charged_back; a chargeback that was won back
-- does not count; refunds count when they are done.
CREATE MATERIALIZED VIEW payments WITH (key = 'payment_id') AS
SELECT p.payment_id, p.customer_id, p.bill_id, coalesce(s.ended_as, p.state) AS state, p.amount, p.currency, p.method,
       p.instrument, p.attempt, p.retry_of, p.error_code, p.changed_at, p.account_id,
       coalesce(s.captured, 0) AS captured, coalesce(r.refunded, 0) AS refunded, coalesce(s.charged_back, 0) AS charged_back,
       coalesce(s.captured, 0) - coalesce(r.refunded, 0) - coalesce(s.charged_back, 0) AS net
FROM payment_states p
LEFT JOIN (
    SELECT payment_id,
           arg_min(state, version) FILTER (WHERE state IN ('failed', 'denied', 'canceled')) AS ended_as,
           max(amount) FILTER (WHERE state IN ('captured', 'settled')) AS captured,
           sum(CASE state WHEN 'chargedBack' THEN amount WHEN 'representmentWon' THEN -amount ELSE 0 END) AS charged_back
    FROM payment_steps
    GROUP BY payment_id
) s ON s.payment_id = p.payment_id
LEFT JOIN (
    SELECT payment_id, sum(amount) AS refunded FROM refund_states WHERE state = 'done' GROUP BY payment_id
) r ON r.payment_id = p.payment_id;
