-- What each subscription was when: its offering, state and monthly value from from_at until before until_at (NULL: still).
--
-- Key: subscription_id, from_at. In: subscription_history. A back-dated change splits the interval that it falls into; an event
-- that names another in supersedes takes that one out, so a revoked termination leaves no trace. Of several versions that hold
-- from one moment the greatest counts. mrr is the recurring amount times quantity less discount, per month, rounded once to the
-- cent; 0 in trials and where the state is not active. A correction is such an event, or a
-- greater version from the same moment.
CREATE MATERIALIZED VIEW subscription_intervals WITH (key = 'subscription_id,from_at') AS
SELECT subscription_id, customer_id, account_id, offering_id, state, is_trial, currency, quantity, recurring_amount, discount,
       months, termination_reason, from_at, until_at,
       CASE WHEN state = 'active' AND NOT is_trial
            THEN round(coalesce(recurring_amount, 0) * coalesce(quantity, 1) * (1 - coalesce(discount, 0)) / months, 2)
            ELSE 0 END AS mrr,
       stated_at, ended_by
FROM (
    SELECT subscription_id, customer_id, account_id, offering_id, state, coalesce(is_trial, false) AS is_trial, currency,
           quantity, recurring_amount, discount, termination_reason,
           CASE billing_period WHEN 'P1Y' THEN 12 WHEN 'P6M' THEN 6 WHEN 'P3M' THEN 3 ELSE 1 END AS months,
           effective AS from_at,
           lead(effective) OVER (PARTITION BY subscription_id ORDER BY effective) AS until_at,
           changed_at AS stated_at,
           lead(changed_at) OVER (PARTITION BY subscription_id ORDER BY effective) AS ended_by
    FROM (
        SELECT DISTINCT ON (h.subscription_id, coalesce(h.effective_at, h.changed_at))
               h.*, coalesce(h.effective_at, h.changed_at) AS effective
        FROM subscription_history h
        WHERE NOT EXISTS (
            SELECT 1 FROM subscription_history o
            WHERE o.subscription_id = h.subscription_id AND o.supersedes = h.event_id
        )
        ORDER BY h.subscription_id, coalesce(h.effective_at, h.changed_at), h.version DESC
    ) v
) i;
