-- Each attempt to pay at the time when it was made, with what became of it.
--
-- Key: payment_id. In: payment_attempts, payment_states. A late attempt stands at its own time; one that is sent again under a
-- new id is still one. A correction of the payment (a later version) changes instrument, amount and state here; a voided
-- payment is gone; a cancelled one stays, as an attempt that was declined.
CREATE VIEW pay_attempts AS
SELECT a.payment_id, p.customer_id, p.account_id, p.instrument, p.bin, p.device_id, p.ip, p.amount, p.currency, p.state, p.error_code,
       p.terminal_id, p.merchant, p.latitude, p.longitude, p.card_present, a.attempted_at,
       p.state IN ('failed', 'denied', 'canceled') AS declined,
       p.state IN ('authorized', 'captured', 'settled', 'done', 'chargedBack') AS accepted
FROM (SELECT payment_id, min(attempted_at) AS attempted_at FROM payment_attempts GROUP BY payment_id) a
JOIN payment_states p ON p.payment_id = a.payment_id
WHERE p.state <> 'voided';
