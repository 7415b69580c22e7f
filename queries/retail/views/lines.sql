-- What a line is worth, and whether it takes money back.
CREATE VIEW lines AS
SELECT document, customer, country, time, product, quantity * unit_price AS amount, document LIKE 'C%' AS is_credit
FROM invoice_lines;
