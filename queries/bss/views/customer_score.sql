-- How good a customer is, from 0 to 100, with what each reason gives or takes.
--
-- Key: customer_id. In: customer_states, customer_roots, rfm, bill_states, payment_states, ticket_states, the clock. from_value:
-- up to 60 by the fifths of rfm (of several currencies the best); from_tenure: 2 a year, up to 20; from_base: 20; less 15 for an
-- overdue bill, 5 a chargeback (up to 15), 2 an open ticket (up to 10). Voided bills, closed tickets and corrected payments take
-- their part back. Closed and merged customers have no row; what the merged one did counts for the one who goes on. A late event
-- counts as soon as it is known.
CREATE MATERIALIZED VIEW customer_score WITH (key = 'customer_id') AS
WITH terms AS (
    SELECT c.customer_id,
           20 AS from_base,
           coalesce(v.fifths, 0) * 4 AS from_value,
           least(20, 2 * greatest(0, (t.today - c.created_at::date) / 365)) AS from_tenure,
           CASE WHEN b.overdue > 0 THEN -15 ELSE 0 END AS from_overdue,
           -least(15, 5 * coalesce(p.chargebacks, 0)) AS from_chargebacks,
           -least(10, 2 * coalesce(k.tickets, 0)) AS from_tickets
    FROM customer_states c
    CROSS JOIN clock_day t
    LEFT JOIN (SELECT customer_id, max(r + f + m) AS fifths FROM rfm GROUP BY customer_id) v ON v.customer_id = c.customer_id
    LEFT JOIN (
        SELECT coalesce(r.goes_on_as, i.customer_id) AS customer_id, count(*) AS overdue
        FROM bill_states i
        LEFT JOIN customer_roots r ON r.customer_id = i.customer_id
        WHERE i.state NOT IN ('voided', 'settled') AND i.due_on + INTERVAL '1 day' <= now()
        GROUP BY coalesce(r.goes_on_as, i.customer_id)
    ) b ON b.customer_id = c.customer_id
    LEFT JOIN (
        SELECT coalesce(r.goes_on_as, i.customer_id) AS customer_id, count(*) AS chargebacks
        FROM payment_states i
        LEFT JOIN customer_roots r ON r.customer_id = i.customer_id
        WHERE i.state = 'chargedBack'
        GROUP BY coalesce(r.goes_on_as, i.customer_id)
    ) p ON p.customer_id = c.customer_id
    LEFT JOIN (
        SELECT coalesce(r.goes_on_as, i.customer_id) AS customer_id, count(*) AS tickets
        FROM ticket_states i
        LEFT JOIN customer_roots r ON r.customer_id = i.customer_id
        WHERE i.status NOT IN ('closed', 'resolved', 'cancelled', 'rejected')
        GROUP BY coalesce(r.goes_on_as, i.customer_id)
    ) k ON k.customer_id = c.customer_id
    WHERE c.merged_into IS NULL AND coalesce(c.status, '') <> 'closed'
)
SELECT customer_id,
       greatest(0, least(100, from_base + from_value + from_tenure + from_overdue + from_chargebacks + from_tickets)) AS score,
       from_base, from_value, from_tenure, from_overdue, from_chargebacks, from_tickets
FROM terms;
