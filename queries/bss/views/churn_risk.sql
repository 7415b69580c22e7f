-- How likely each active subscription is to end, between 0 and 1, with what each reason adds.
--
-- Key: subscription_id. In: subscription_states, bill_states, ticket_states, usage_records, usage_verdicts, the clock. A
-- logistic function of published weights: -2.5, less 0.02 a month of tenure (up to 60), 0.8 for an overdue bill, 0.35 a ticket
-- of the last 90 days (up to 4), 1.2 where the records of the last seven days are less than half of the mean week of the eight
-- before, 0.9 where the contract ends within 60 days. A voided record or bill takes its part back; a subscription that is not
-- active has no row. Late records, bills and tickets count at their own time; corrected ones take the place of those before.
CREATE MATERIALIZED VIEW churn_risk WITH (key = 'subscription_id') AS
WITH usage AS (
    SELECT subscription_id,
           coalesce(sum(records) FILTER (WHERE day::date > t.today - 7), 0) AS week,
           coalesce(sum(records) FILTER (WHERE day::date <= t.today - 7), 0) AS weeks_before
    FROM (
        SELECT u.subscription_id, date_trunc('day', u.used_at) AS day, count(*) AS records
        FROM usage_records u
        LEFT JOIN usage_verdicts v ON v.usage_id = u.usage_id AND v.event_type NOT LIKE '%recycled%'
        WHERE v.usage_id IS NULL
        GROUP BY u.subscription_id, date_trunc('day', u.used_at)
    ) daily
    CROSS JOIN clock_day t
    WHERE day > now() - INTERVAL '63 days'
    GROUP BY subscription_id
), terms AS (
    SELECT s.subscription_id, s.customer_id,
           -0.02 * least(60, greatest(0, (t.today - s.started_at::date) / 30)) AS from_tenure,
           CASE WHEN b.overdue > 0 THEN 0.8 ELSE 0.0 END AS from_overdue,
           0.35 * least(4, coalesce(k.tickets, 0)) AS from_tickets,
           CASE WHEN u.weeks_before >= 8 AND u.week * 16 < u.weeks_before THEN 1.2 ELSE 0.0 END AS from_usage,
           CASE WHEN s.term_end::date - t.today BETWEEN 0 AND 59 THEN 0.9 ELSE 0.0 END AS from_contract
    FROM subscription_states s
    CROSS JOIN clock_day t
    LEFT JOIN (
        SELECT customer_id, count(*) AS overdue FROM bill_states
        WHERE state NOT IN ('voided', 'settled') AND due_on + INTERVAL '1 day' <= now()
        GROUP BY customer_id
    ) b ON b.customer_id = s.customer_id
    LEFT JOIN (
        SELECT customer_id, count(*) AS tickets FROM ticket_states
        WHERE created_at > now() - INTERVAL '90 days' AND status NOT IN ('cancelled', 'rejected')
        GROUP BY customer_id
    ) k ON k.customer_id = s.customer_id
    LEFT JOIN usage u ON u.subscription_id = s.subscription_id
    WHERE s.state = 'active'
)
SELECT subscription_id, customer_id,
       round((1 / (1 + exp(-(-2.5 + from_tenure + from_overdue + from_tickets + from_usage + from_contract)::double precision)))::numeric, 4) AS risk,
       from_tenure, from_overdue, from_tickets, from_usage, from_contract
FROM terms;
