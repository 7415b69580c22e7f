-- F10: customers who signed up in order not to pay.
--
-- Key: customer_id. In: customer_states, bill_states, usage_records, usage_verdicts, ties to others (pay_attempts, logins,
-- addresses, ..), dunning_events, the clock. Weighed: shares an address, document, device, instrument or bank account with a
-- customer who was written off 0.4; first bill unpaid and overdue 0.3; more than 500 usage records in the first 30 days 0.2; a
-- customer for less than 90 days when the first bill was due 0.1. A hit at 0.6. Paying or voiding the bill, voiding usage, or
-- a tie that goes, takes it back. Late and corrected bills, records and ties weigh as they are known now.
CREATE MATERIALIZED VIEW fraud_subscription WITH (key = 'customer_id') AS
WITH written_off AS (
    SELECT DISTINCT coalesce(d.customer_id, a.customer_id) AS customer_id
    FROM dunning_events d
    LEFT JOIN billing_accounts a ON a.account_id = d.account_id
    LEFT JOIN (SELECT DISTINCT supersedes FROM fact_voids) v ON v.supersedes = d.event_id
    WHERE d.event_type LIKE '%writtenOff%' AND v.supersedes IS NULL
), bad_links AS (
    SELECT l.link, min(l.customer_id) AS customer_id, count(*) AS customers, max(l.customer_id) AS other_customer_id
    FROM fraud_links l
    JOIN written_off w ON w.customer_id = l.customer_id
    WHERE l.kind <> 'imei'
    GROUP BY l.link
), tied AS (
    SELECT l.customer_id, min(l.link) AS link, min(CASE WHEN b.customer_id <> l.customer_id THEN b.customer_id ELSE b.other_customer_id END) AS written_off_customer_id
    FROM fraud_links l
    JOIN bad_links b ON b.link = l.link
    WHERE b.customers > 1 OR b.customer_id <> l.customer_id
    GROUP BY l.customer_id
), first_bill AS (
    SELECT DISTINCT ON (customer_id) customer_id, bill_id, state, due_on, gross, currency
    FROM bill_states WHERE state <> 'voided' ORDER BY customer_id, billed_on, bill_id
), early_usage AS (
    SELECT u.customer_id, count(*) AS records
    FROM usage_records u
    JOIN customer_states c ON c.customer_id = u.customer_id AND u.used_at < c.created_at + INTERVAL '30 days'
    LEFT JOIN usage_verdicts v ON v.usage_id = u.usage_id AND v.event_type NOT LIKE '%recycled%'
    WHERE v.usage_id IS NULL
    GROUP BY u.customer_id
), weighed AS (
    SELECT c.customer_id, f.bill_id, f.due_on, f.gross, f.currency, coalesce(u.records, 0) AS records_30d, t.link, t.written_off_customer_id,
           CASE WHEN t.customer_id IS NOT NULL THEN 0.4 ELSE 0.0 END AS from_tie,
           0.3 AS from_bill,
           CASE WHEN u.records > 500 THEN 0.2 ELSE 0.0 END AS from_usage,
           CASE WHEN f.due_on - c.created_at::date < 90 THEN 0.1 ELSE 0.0 END AS from_age
    FROM first_bill f
    JOIN customer_states c ON c.customer_id = f.customer_id
    LEFT JOIN tied t ON t.customer_id = f.customer_id
    LEFT JOIN early_usage u ON u.customer_id = f.customer_id
    WHERE f.state <> 'settled' AND f.due_on + INTERVAL '1 day' <= now()
)
SELECT 'F10' AS rule_id, 1 AS rule_version, 'customer/' || customer_id AS pivot, customer_id, due_on::timestamp AS happened_at,
       bill_id, gross, currency, records_30d, 500 AS records_max, link, written_off_customer_id, from_tie, from_bill, from_usage, from_age,
       from_tie + from_bill + from_usage + from_age AS score, 0.6 AS score_min,
       'bill/' || bill_id || coalesce(',' || link || ',customer/' || written_off_customer_id, '') AS evidence
FROM weighed
WHERE from_tie + from_bill + from_usage + from_age >= 0.6;
