-- Each bill with what is left to pay of it, and whether it is overdue now.
--
-- Key: bill_id. In: invoice_balances, the clock. A bill becomes overdue when the day after its due date begins in the account's
-- time zone, without any event, and ceases to be when it is paid, credited or voided. A late payment, a chargeback or a correction
-- changes what is left at once; the due date stays the first one. An over-payment leaves a negative rest.
CREATE MATERIALIZED VIEW invoices WITH (key = 'bill_id') AS
SELECT bill_id, bill_number, account_id, customer_id, order_id, currency, billed_on, due_on, net, gross, credited, adjusted,
       paid, charged_back, refunded, remaining, status, false AS overdue
FROM invoice_balances
WHERE remaining <= 0
UNION ALL
SELECT bill_id, bill_number, account_id, customer_id, order_id, currency, billed_on, due_on, net, gross, credited, adjusted,
       paid, charged_back, refunded, remaining, status, false
FROM invoice_balances
WHERE remaining > 0 AND due_at > now()
UNION ALL
SELECT bill_id, bill_number, account_id, customer_id, order_id, currency, billed_on, due_on, net, gross, credited, adjusted,
       paid, charged_back, refunded, remaining, status, true
FROM invoice_balances
WHERE remaining > 0 AND due_at <= now();
