-- What collections should do about each account that owes: remind (3 days after the earliest due date), remind again (10), suspend
-- (20), end (40).
--
-- Key: account_id, stage. In: invoice_balances, dispute_states, dunning_events, fact_voids, the clock. Days run from the earliest
-- unpaid bill in the account's time zone, without any event. Bills in an open dispute do not count; an account whose promise to
-- pay has not run out (in UTC), or that owes less than 5.00, is left alone. A payment clears at once; a chargeback comes back
-- with the original due date. An account has one row; it changes once a stage and earliest bill. A late payment or credit, and a
-- voided bill, change the stage as soon as they are known.
CREATE MATERIALIZED VIEW dunning_stage WITH (key = 'account_id,currency') AS
WITH owed AS (
    SELECT i.account_id, i.currency, min(i.due_on) AS due_on, arg_min(i.bill_id, i.due_on) AS earliest_bill_id,
           max(i.time_zone) AS time_zone,
           count(*) AS bills, sum(i.remaining) AS owed
    FROM invoice_balances i
    WHERE i.remaining > 0
      AND NOT EXISTS (SELECT 1 FROM dispute_states d WHERE d.bill_id = i.bill_id AND d.state <> 'resolved')
    GROUP BY i.account_id, i.currency
    HAVING sum(i.remaining) >= 5
), promised AS (
    SELECT DISTINCT e.account_id
    FROM dunning_events e
    WHERE (e.promised_until + 1)::timestamp > now()
      AND NOT EXISTS (SELECT 1 FROM fact_voids v WHERE v.supersedes = e.event_id)
), staged AS (
    SELECT account_id, currency, due_on, earliest_bill_id, bills, owed, 1 AS stage FROM owed
    WHERE (due_on + 3)::timestamp AT TIME ZONE time_zone <= now() AND (due_on + 10)::timestamp AT TIME ZONE time_zone > now()
    UNION ALL
    SELECT account_id, currency, due_on, earliest_bill_id, bills, owed, 2 FROM owed
    WHERE (due_on + 10)::timestamp AT TIME ZONE time_zone <= now() AND (due_on + 20)::timestamp AT TIME ZONE time_zone > now()
    UNION ALL
    SELECT account_id, currency, due_on, earliest_bill_id, bills, owed, 3 FROM owed
    WHERE (due_on + 20)::timestamp AT TIME ZONE time_zone <= now() AND (due_on + 40)::timestamp AT TIME ZONE time_zone > now()
    UNION ALL
    SELECT account_id, currency, due_on, earliest_bill_id, bills, owed, 4 FROM owed
    WHERE (due_on + 40)::timestamp AT TIME ZONE time_zone <= now()
)
SELECT account_id, currency, stage,
       CASE stage WHEN 1 THEN 'reminder' WHEN 2 THEN 'second reminder' WHEN 3 THEN 'suspend' ELSE 'terminate' END AS action,
       earliest_bill_id, due_on, bills, owed
FROM staged s
WHERE NOT EXISTS (SELECT 1 FROM promised p WHERE p.account_id = s.account_id);
