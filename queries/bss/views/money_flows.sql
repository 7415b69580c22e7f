-- Money that one customer paid on the account of another: who pays whom, each payment.
--
-- Key: payment_id. In: payment_states, billing_accounts, customer_roots. Payments that were captured or settled, and are neither
-- voided nor charged back. Merged customers count as the one who goes on, so a merge takes away what was paid between the two. A
-- corrected account or customer moves its payment. A late payment stands at the time when it was tried.
CREATE MATERIALIZED VIEW money_flows WITH (key = 'payment_id') AS
SELECT payment_id, from_customer, to_customer, amount, currency, paid_at
FROM (
    SELECT p.payment_id, coalesce(f.goes_on_as, p.customer_id) AS from_customer, coalesce(t.goes_on_as, a.customer_id) AS to_customer,
           p.amount, p.currency, s.attempted_at AS paid_at
    FROM payment_states p
    JOIN (SELECT payment_id, min(attempted_at) AS attempted_at FROM payment_attempts GROUP BY payment_id) s ON s.payment_id = p.payment_id
    JOIN billing_accounts a ON a.account_id = p.account_id
    LEFT JOIN customer_roots f ON f.customer_id = p.customer_id
    LEFT JOIN customer_roots t ON t.customer_id = a.customer_id
    WHERE p.state IN ('captured', 'settled', 'done') AND p.customer_id <> a.customer_id
) paid
WHERE from_customer <> to_customer;
