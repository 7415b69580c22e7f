-- Each of these has no row, at any time: a row is usage that was lost, or counted twice.

-- What was received is guided, unmatched, rejected, voided or sent twice.
CREATE MATERIALIZED VIEW inv_usage_is_somewhere AS
SELECT units, sum(records) AS records_astray, sum(quantity) AS astray
FROM (
    SELECT coalesce(units, 's') AS units, 1 AS records, 0 AS quantity FROM usage_records
    UNION ALL
    SELECT units, 0, quantity FROM usage
    UNION ALL
    SELECT units, -1, -quantity FROM usage_guided
) f
GROUP BY units
HAVING sum(quantity) <> 0 OR sum(records) <> 0;

-- What is rated is billed, unbilled or carried, and what is billed stands on bills.
CREATE MATERIALIZED VIEW inv_rated_is_billed AS
SELECT subscription_id, period_start, price_id, currency, sum(rated) AS rated_astray, sum(billed) AS billed_astray
FROM (
    SELECT subscription_id, period_start, price_id, currency, billed + unbilled + carried AS rated, billed FROM bill_vs_usage
    UNION ALL
    SELECT subscription_id, period_start, price_id, currency, -amount, 0 FROM usage_charges
    UNION ALL
    SELECT l.subscription_id, b.period_start, l.price_id, l.currency, 0, -l.amount
    FROM bill_lines l
    JOIN bill_states b ON b.bill_id = l.bill_id
    WHERE l.line_type = 'usage' AND b.state <> 'voided'
) f
GROUP BY subscription_id, period_start, price_id, currency
HAVING sum(rated) <> 0 OR sum(billed) <> 0;

-- The prices of single records add up to their charge, but for its rounding and the fees of tiers.
CREATE MATERIALIZED VIEW inv_records_are_charges AS
SELECT c.subscription_id, c.period_start, c.price_id, c.amount, r.amount AS of_records
FROM usage_charges c
JOIN (
    SELECT subscription_id, period_start, price_id, price_version, sum(amount) AS amount
    FROM rated_usage
    GROUP BY subscription_id, period_start, price_id, price_version
) r ON r.subscription_id = c.subscription_id AND r.period_start = c.period_start AND r.price_id = c.price_id
   AND r.price_version = c.price_version
WHERE c.model IN ('unit', 'package') AND abs(c.amount - r.amount) > 0.005;

-- What was granted is burnt, lapsed, lost or left; and what is beyond it was used before all that is left began to hold.
CREATE MATERIALIZED VIEW inv_grants_are_somewhere AS
SELECT bucket_id, unit
FROM entitlement_balance
WHERE granted <> burnt + expired + reset_loss + balance
UNION ALL
SELECT b.bucket_id, b.unit
FROM entitlement_balance b
JOIN (
    SELECT m.bucket_id, m.unit, m.grant_id, coalesce(sum(u.amount), 0) AS used_before
    FROM entitlement_marks m
    JOIN entitlement_grants g ON g.grant_id = m.grant_id AND g.rest > 0 AND g.valid_until IS NULL
    LEFT JOIN entitlement_marks u ON u.bucket_id = m.bucket_id AND u.unit = m.unit AND u.kind = 'use' AND u.at < m.at
    WHERE m.kind = 'grant'
    GROUP BY m.bucket_id, m.unit, m.grant_id
) left_over ON left_over.bucket_id = b.bucket_id AND left_over.unit = b.unit
WHERE b.expired = 0 AND b.reset_loss = 0 AND b.overage > left_over.used_before;

-- What single grants have burnt is what their bucket has, as long as all of it counts by now and none of it lapsed.
CREATE MATERIALIZED VIEW inv_grants_are_buckets AS
SELECT b.bucket_id, b.unit, b.burnt, g.burnt AS of_grants
FROM entitlement_balance b
JOIN (
    SELECT bucket_id, unit, sum(amount) AS granted, sum(burnt) AS burnt FROM entitlement_grants GROUP BY bucket_id, unit
) g ON g.bucket_id = b.bucket_id AND g.unit = b.unit
WHERE b.expired = 0 AND b.reset_loss = 0 AND b.granted = g.granted AND b.burnt <> g.burnt;

-- No number and no card belongs to two services at one time.
CREATE MATERIALIZED VIEW inv_numbers_are_unique AS SELECT identity, service_id, other_service_id FROM inventory_conflicts;
