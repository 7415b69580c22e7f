-- Usage per subscription, price and period: what it comes to, what was billed of it, what is still to be billed.
--
-- Key: subscription_id, period_start, price_id, currency. In: usage_charges, bill_lines, bill_states. rated = billed + unbilled +
-- carried in each row: unbilled while no bill of the period is there, carried (to the next bill) once there is one. Voided bills
-- count for nothing; late and corrected usage changes rated.
CREATE MATERIALIZED VIEW bill_vs_usage WITH (key = 'subscription_id,period_start,price_id,currency') AS
SELECT f.subscription_id, f.period_start, f.price_id, f.currency, f.rated, f.billed,
       CASE WHEN f.bills = 0 THEN f.rated - f.billed ELSE 0.00 END AS unbilled,
       CASE WHEN f.bills = 0 THEN 0.00 ELSE f.rated - f.billed END AS carried
FROM (
    SELECT subscription_id, period_start, price_id, currency, sum(rated) AS rated, sum(billed) AS billed, sum(bills) AS bills
    FROM (
        SELECT subscription_id, period_start, price_id, currency, amount AS rated, 0.00 AS billed, 0 AS bills FROM usage_charges
        UNION ALL
        SELECT l.subscription_id, b.period_start, l.price_id, l.currency, 0, l.amount, 1
        FROM bill_lines l
        JOIN bill_states b ON b.bill_id = l.bill_id
        WHERE l.line_type = 'usage' AND b.state <> 'voided'
    ) u
    GROUP BY subscription_id, period_start, price_id, currency
) f;
