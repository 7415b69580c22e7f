-- Bills whose lines do not add up to their total.
--
-- Key: bill_id. In: bill_states, bill_lines. A correction that makes them agree takes the row away; voided bills are left out.
-- A bill that comes late is judged when it comes.
CREATE MATERIALIZED VIEW invoice_mismatch WITH (key = 'bill_id') AS
SELECT b.bill_id, b.customer_id, b.currency, b.gross, l.lines_gross, l.lines_gross - b.gross AS difference
FROM bill_states b
JOIN (
    SELECT bill_id, sum(amount + coalesce(tax, 0)) AS lines_gross
    FROM bill_lines
    GROUP BY bill_id
) l ON l.bill_id = b.bill_id
WHERE b.state <> 'voided' AND l.lines_gross <> b.gross;
