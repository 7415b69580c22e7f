-- What is left to pay of each bill, whatever the clock says.
--
-- Key: bill_id. In: bill_states, billing_accounts, bill_movements. remaining = gross - credited + adjusted - paid + charged_back
-- + refunded. A payment that comes before its bill waits in account_credits. A corrected bill takes the place of the one
-- before; a voided one stays with status 'voided' and remaining 0. due_at is the first moment, in the account's time zone, at
-- which the bill is overdue, due_30_at by more than 30 days, and so on. A bill without a due date is due at once. What comes
-- late counts in full as soon as it is known.
CREATE MATERIALIZED VIEW invoice_balances WITH (key = 'bill_id') AS
SELECT bill_id, bill_number, account_id, customer_id, order_id, currency, billed_on, due_on, time_zone, net, gross,
       credited, adjusted, paid, charged_back, refunded, remaining,
       CASE WHEN state = 'voided' THEN 'voided'
            WHEN remaining <= 0 THEN 'settled'
            WHEN remaining < gross THEN 'partiallyPaid'
            ELSE state END AS status,
       (due_on + 1)::timestamp AT TIME ZONE time_zone AS due_at,
       (due_on + 31)::timestamp AT TIME ZONE time_zone AS due_30_at,
       (due_on + 61)::timestamp AT TIME ZONE time_zone AS due_60_at,
       (due_on + 91)::timestamp AT TIME ZONE time_zone AS due_90_at
FROM (
    SELECT b.bill_id, b.bill_number, b.account_id, b.customer_id, b.order_id, b.currency, b.billed_on,
           coalesce(b.due_on, b.billed_on, b.changed_at::date) AS due_on, b.state,
           b.net, b.gross, coalesce(a.time_zone, 'UTC') AS time_zone,
           coalesce(m.credited, 0) AS credited, coalesce(m.adjusted, 0) AS adjusted, coalesce(m.paid, 0) AS paid,
           coalesce(m.charged_back, 0) AS charged_back, coalesce(m.refunded, 0) AS refunded,
           CASE WHEN b.state = 'voided' THEN 0
                ELSE b.gross - coalesce(m.credited, 0) + coalesce(m.adjusted, 0) - coalesce(m.paid, 0)
                     + coalesce(m.charged_back, 0) + coalesce(m.refunded, 0) END AS remaining
    FROM bill_states b
    LEFT JOIN billing_accounts a ON a.account_id = b.account_id
    LEFT JOIN (
        SELECT bill_id,
               sum(amount) FILTER (WHERE kind = 'credited') AS credited,
               sum(amount) FILTER (WHERE kind = 'adjusted') AS adjusted,
               sum(amount) FILTER (WHERE kind = 'paid') AS paid,
               sum(amount) FILTER (WHERE kind = 'charged_back') AS charged_back,
               sum(amount) FILTER (WHERE kind = 'refunded') AS refunded
        FROM bill_movements
        GROUP BY bill_id
    ) m ON m.bill_id = b.bill_id
) i;
