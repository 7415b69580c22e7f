-- Every amount that makes revenue, without tax: lines of bills, their reversal where the bill was voided, credit notes, adjustments.
--
-- In: bill_lines, bill_states, credit_note_lines, billing_adjustments. booked_on is the date of the document that says it;
-- corrected_on is the date of the line that it sets right, so that both add up to the same over all days. A voided bill is
-- reversed on the day of its voiding; a voided credit note never was. A credit note or adjustment whose bill is not known yet
-- counts on its own date. A row for each amount. A late document counts on the date that it bears.
CREATE VIEW revenue_lines AS
SELECT billed_on AS booked_on, billed_on AS corrected_on, customer_id, category, currency, bill_id, amount
FROM bill_lines
UNION ALL
SELECT coalesce(voided_on, stated_at::date), billed_on, customer_id, category, currency, bill_id, -amount
FROM bill_lines WHERE bill_state = 'voided'
UNION ALL
SELECT n.issued_on, coalesce(b.billed_on, n.issued_on), coalesce(n.customer_id, b.customer_id), n.category, n.currency, n.ref_bill_id,
       -n.amount
FROM credit_note_lines n
LEFT JOIN bill_states b ON b.bill_id = n.ref_bill_id
WHERE coalesce(n.state, 'issued') <> 'voided'
UNION ALL
SELECT a.adjusted_on, coalesce(b.billed_on, a.adjusted_on), coalesce(a.customer_id, b.customer_id), a.category, a.currency, a.bill_id,
       a.amount
FROM billing_adjustments a
LEFT JOIN bill_states b ON b.bill_id = a.bill_id;
