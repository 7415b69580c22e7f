-- All that changes what is left to pay of a bill, by kind: credited, adjusted, paid, charged_back, refunded.
--
-- In: credit_notes, credit_applications, billing_adjustments, payment_steps, payment_allocations, refund_states,
-- refund_allocations. Payments count when they are settled; a chargeback that was won back counts against it. Corrected
-- movements take the place of those before; voided notes and failed refunds are not here. A row for each movement. A late one
-- counts as soon as it is known.
CREATE VIEW bill_movements AS
SELECT bill_id, account_id, currency, 'credited' AS kind, amount
FROM credit_notes WHERE bill_id IS NOT NULL AND coalesce(state, 'issued') <> 'voided'
UNION ALL
SELECT bill_id, account_id, currency, 'credited', amount FROM credit_applications
UNION ALL
SELECT bill_id, account_id, currency, 'adjusted', amount FROM billing_adjustments WHERE bill_id IS NOT NULL
UNION ALL
SELECT bill_id, account_id, currency, CASE WHEN state = 'settled' THEN 'paid' ELSE 'charged_back' END,
       CASE WHEN state = 'representmentWon' THEN -amount ELSE amount END
FROM payment_steps WHERE bill_id IS NOT NULL AND state IN ('settled', 'chargedBack', 'representmentWon')
UNION ALL
SELECT bill_id, account_id, currency, CASE WHEN state = 'settled' THEN 'paid' ELSE 'charged_back' END,
       CASE WHEN state = 'representmentWon' THEN -amount ELSE amount END
FROM payment_allocations WHERE whole_bill_id IS NULL AND state IN ('settled', 'chargedBack', 'representmentWon')
UNION ALL
SELECT bill_id, account_id, currency, 'refunded', amount FROM refund_allocations WHERE state = 'done';
