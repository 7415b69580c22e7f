-- What each account has paid in, what of it is used for bills, and what is left over.
--
-- Key: account_id, currency. In: payment_steps, refund_states, bill_movements, bill_states. received = settled - charged back +
-- won back - refunded; allocated is the part of it that stands against bills that are known and not voided; unapplied is the
-- rest: payments before their bill, and those without one. A bill that arrives late takes its part; a voided one gives it back.
-- credits are notes without a bill that are not applied yet. A corrected payment or note takes the place of the one before.
CREATE MATERIALIZED VIEW account_credits WITH (key = 'account_id,currency') AS
SELECT account_id, currency, sum(received) AS received, sum(allocated) AS allocated,
       sum(received) - sum(allocated) AS unapplied, sum(credits) AS credits
FROM (
    SELECT account_id, currency, CASE WHEN state = 'chargedBack' THEN -amount ELSE amount END AS received, 0.00 AS allocated,
           0.00 AS credits
    FROM payment_steps WHERE state IN ('settled', 'chargedBack', 'representmentWon')
    UNION ALL
    SELECT account_id, currency, -amount, 0, 0 FROM refund_states WHERE state = 'done'
    UNION ALL
    SELECT m.account_id, m.currency, 0, CASE WHEN m.kind = 'paid' THEN m.amount ELSE -m.amount END, 0
    FROM bill_movements m
    JOIN bill_states b ON b.bill_id = m.bill_id
    WHERE m.kind IN ('paid', 'charged_back', 'refunded') AND b.state <> 'voided'
    UNION ALL
    SELECT account_id, currency, 0, 0, amount FROM credit_notes
    WHERE bill_id IS NULL AND coalesce(state, 'issued') <> 'voided'
    UNION ALL
    SELECT account_id, currency, 0, 0, -amount FROM credit_applications
) f
WHERE account_id IS NOT NULL
GROUP BY account_id, currency;
