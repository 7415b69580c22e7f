-- F6: refunds that are too many, go elsewhere, or come too fast from one dealer.
--
-- Key: pivot, refund_id, kind. In: refund_states, pay_attempts. A row for each refund (not failed) at which, looking back 90
-- days, its customer has 4 refunds or more and half as many as accepted payments (kind share); that goes to another instrument
-- than the payment came from (kind instrument); or that is the fifth or later of its dealer within a day among those made
-- within an hour of their payment (kind dealer). A refund that fails is taken back, with the hits that it caused; a late one
-- is judged at its own time. A corrected refund is judged as it is now.
CREATE MATERIALIZED VIEW fraud_refund_abuse WITH (key = 'pivot,refund_id,kind') AS
WITH refunds AS (
    SELECT r.refund_id, r.payment_id, coalesce(r.customer_id, p.customer_id) AS customer_id, r.amount, r.dealer_id, r.changed_at AS at,
           r.instrument, p.instrument AS paid_with, p.attempted_at AS paid_at
    FROM refund_states r
    LEFT JOIN pay_attempts p ON p.payment_id = r.payment_id
    WHERE r.state <> 'failed'
)
SELECT 'F6' AS rule_id, 1 AS rule_version, 'customer/' || customer_id AS pivot, customer_id, refund_id, 'share' AS kind, at AS happened_at,
       refunds, 4 AS refunds_max, payments, 0.5 AS share_max,
       least(1.0, round(0.4 + 0.1 * refunds::numeric / greatest(payments, 1), 4)) AS score,
       array_to_string(array_slice(array_sort(evidence), 1, 20), ',') AS evidence
FROM (
    SELECT customer_id, refund_id, at, is_refund, sum(refund) OVER w AS refunds, sum(payment) OVER w AS payments,
           array_agg(refund_id) FILTER (WHERE is_refund) OVER w AS evidence
    FROM (
        SELECT customer_id, refund_id, at, true AS is_refund, 1 AS refund, 0 AS payment FROM refunds WHERE customer_id IS NOT NULL
        UNION ALL
        SELECT customer_id, NULL, attempted_at, false, 0, 1 FROM pay_attempts WHERE accepted AND customer_id IS NOT NULL
    ) movements
    WINDOW w AS (PARTITION BY customer_id ORDER BY at RANGE BETWEEN INTERVAL '90 days' PRECEDING AND CURRENT ROW)
) counted
WHERE is_refund AND refunds >= 4 AND refunds * 2 >= payments
UNION ALL
SELECT 'F6', 1, 'customer/' || customer_id, customer_id, refund_id, 'instrument', at, 1, 1, 1, 0.0, 0.5,
       refund_id || ',' || payment_id
FROM refunds
WHERE instrument <> paid_with
UNION ALL
SELECT 'F6', 1, 'dealer/' || dealer_id, customer_id, refund_id, 'dealer', at, refunds, 5, NULL, NULL,
       least(1.0, round(0.5 + 0.05 * (refunds - 5), 4)),
       array_to_string(array_slice(array_sort(evidence), 1, 20), ',')
FROM (
    SELECT dealer_id, customer_id, refund_id, at, count(*) OVER w AS refunds, array_agg(refund_id) OVER w AS evidence
    FROM refunds
    WHERE dealer_id IS NOT NULL AND at >= paid_at AND at <= paid_at + INTERVAL '1 hour'
    WINDOW w AS (PARTITION BY dealer_id ORDER BY at RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW)
) dealers
WHERE refunds >= 5;
