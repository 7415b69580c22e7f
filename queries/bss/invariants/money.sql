-- Each of these has no row, at any time: a row is money that went astray.

-- What invoices were paid, less what was charged back and refunded of it, and what is unapplied, is what was received.
CREATE MATERIALIZED VIEW inv_payments_are_applied AS
SELECT account_id, currency, sum(amount) AS astray
FROM (
    SELECT account_id, currency, unapplied - received AS amount FROM account_credits
    UNION ALL
    SELECT account_id, currency, paid - charged_back - refunded FROM invoices WHERE status <> 'voided'
) f
GROUP BY account_id, currency
HAVING sum(amount) <> 0;

-- What was received is what all payments came to: captured (once settled), less what was refunded and charged back.
CREATE MATERIALIZED VIEW inv_receipts_are_payments AS
SELECT account_id, currency, sum(amount) AS astray
FROM (
    SELECT account_id, currency, received AS amount FROM account_credits
    UNION ALL
    SELECT p.account_id, p.currency, CASE WHEN s.payment_id IS NULL THEN p.captured - p.net ELSE -p.net END
    FROM payments p
    LEFT JOIN (SELECT DISTINCT payment_id FROM payment_steps WHERE state = 'settled') s ON s.payment_id = p.payment_id
    WHERE p.account_id IS NOT NULL
    UNION ALL
    -- The payment is still to come.
    SELECT r.account_id, r.currency, r.amount
    FROM refund_states r
    LEFT JOIN payments p ON p.payment_id = r.payment_id
    WHERE r.state = 'done' AND r.account_id IS NOT NULL AND p.payment_id IS NULL
) f
GROUP BY account_id, currency
HAVING sum(amount) <> 0;

-- The buckets of what is owed, and what stands against no bill, add up to what remains of all invoices less the credits.
CREATE MATERIALIZED VIEW inv_buckets_are_remaining AS
SELECT account_id, currency, sum(amount) AS astray
FROM (
    SELECT account_id, currency, not_due + days_1_30 + days_31_60 + days_61_90 + days_90_more + overpaid + unapplied AS amount
    FROM ar_ageing
    UNION ALL
    SELECT account_id, currency, -remaining FROM invoices
    UNION ALL
    SELECT account_id, currency, unapplied + credits FROM account_credits
) f
GROUP BY account_id, currency
HAVING sum(amount) <> 0;

-- Revenue as booked and as corrected is the same over all days.
CREATE MATERIALIZED VIEW inv_revenue_is_one AS
SELECT currency, sum(amount) AS astray
FROM (
    SELECT currency, revenue AS amount FROM revenue_booked
    UNION ALL
    SELECT currency, -revenue FROM revenue_corrected
) f
GROUP BY currency
HAVING sum(amount) <> 0;

-- What was recognised over all months is what was billed.
CREATE MATERIALIZED VIEW inv_recognised_is_billed AS
SELECT currency, sum(deferred) AS astray FROM revenue_recognition GROUP BY currency HAVING sum(deferred) <> 0;

-- A month begins with what the one before ended with, and the movements lead from one to the other.
CREATE MATERIALIZED VIEW inv_months_follow AS
SELECT a.month, a.segment, a.currency, a.start_mrr, b.end_mrr
FROM mrr_monthly a
LEFT JOIN mrr_monthly b
  ON b.segment = a.segment AND b.currency = a.currency AND b.month = (a.month - INTERVAL '1 month')::date
WHERE a.start_mrr <> coalesce(b.end_mrr, 0)
   OR a.start_mrr + a.new_mrr + a.reactivation + a.expansion - a.contraction - a.churn <> a.end_mrr;

-- What a month ends with is what the subscriptions that ran on at its end bring in.
CREATE MATERIALIZED VIEW inv_months_are_subscriptions AS
SELECT m.month, m.currency, m.end_mrr, s.mrr
FROM (SELECT month, currency, sum(end_mrr) AS end_mrr FROM mrr_monthly GROUP BY month, currency) m
LEFT JOIN (
    SELECT k.month, i.currency, sum(i.mrr) AS mrr
    FROM (SELECT DISTINCT month FROM mrr_monthly) k
    JOIN subscription_intervals i
      ON i.from_at < k.month + INTERVAL '1 month'
     AND coalesce(i.until_at, TIMESTAMP '2200-01-01') >= k.month + INTERVAL '1 month'
    GROUP BY k.month, i.currency
) s ON s.month = m.month AND s.currency = m.currency
WHERE m.end_mrr <> coalesce(s.mrr, 0);

-- Lines of bills add up to them.
CREATE MATERIALIZED VIEW inv_lines_are_bills AS SELECT bill_id, difference FROM invoice_mismatch;
