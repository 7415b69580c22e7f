-- What sources say they sent beside what is here, by day and kind.
--
-- Key: day, kind, currency. In: control_totals, event_arrivals, payment_states, payment_attempts, bill_states, usage_records.
-- kind is payment, bill or usage, where amounts are compared (gross of bills, amounts of payments by the day they were tried,
-- records without amounts), or any event type without com.example.bss. and .v1, where only events are. Days without a control
-- total have no row. missing is what the source says less what is here; a late event closes it, a corrected control total
-- restates it. A voided bill is not counted; a voided event is, for it came.
CREATE MATERIALIZED VIEW reconciliation WITH (key = 'day,kind,currency') AS
WITH stated AS (
    SELECT day, kind, coalesce(currency, '') AS currency, sum(events) AS events, sum(amount) AS amount
    FROM control_totals
    GROUP BY day, kind, coalesce(currency, '')
), here AS (
    SELECT a.attempted_at::date AS day, 'payment' AS kind, coalesce(p.currency, '') AS currency, count(*) AS events, sum(p.amount) AS amount
    FROM (SELECT payment_id, min(attempted_at) AS attempted_at FROM payment_attempts GROUP BY payment_id) a
    JOIN payment_states p ON p.payment_id = a.payment_id
    GROUP BY a.attempted_at::date, coalesce(p.currency, '')
    UNION ALL
    SELECT billed_on, 'bill', coalesce(currency, ''), count(*), sum(gross) FROM bill_states WHERE state <> 'voided' GROUP BY billed_on, coalesce(currency, '')
    UNION ALL
    SELECT used_at::date, 'usage', '', count(*), NULL FROM usage_records GROUP BY used_at::date
    UNION ALL
    SELECT happened_at::date, regexp_replace(replace(event_type, 'com.example.bss.', ''), '[.]v[0-9]+$', ''), '', count(*), NULL
    FROM event_arrivals
    GROUP BY happened_at::date, regexp_replace(replace(event_type, 'com.example.bss.', ''), '[.]v[0-9]+$', '')
)
SELECT s.day, s.kind, s.currency, s.events AS events_stated, coalesce(h.events, 0) AS events_here, s.events - coalesce(h.events, 0) AS events_missing,
       s.amount AS amount_stated, h.amount AS amount_here, s.amount - coalesce(h.amount, 0) AS amount_missing,
       s.events = coalesce(h.events, 0) AND (s.amount IS NULL OR h.amount IS NOT DISTINCT FROM s.amount) AS agrees
FROM stated s
LEFT JOIN here h ON h.day = s.day AND h.kind = s.kind AND h.currency = s.currency;
