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

-- What is rated is billed, unbilled or carried.
CREATE MATERIALIZED VIEW inv_rated_is_billed AS
SELECT subscription_id, period_start, price_id FROM bill_vs_usage WHERE rated <> billed + unbilled + carried;

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

-- What was granted is burnt, lapsed, lost or left; what is beyond it leaves nothing.
CREATE MATERIALIZED VIEW inv_grants_are_somewhere AS
SELECT bucket_id, unit
FROM entitlement_balance
WHERE granted <> burnt + expired + reset_loss + balance OR overage > 0 AND balance > 0;

-- No number and no card belongs to two services at one time.
CREATE MATERIALIZED VIEW inv_numbers_are_unique AS SELECT identity, service_id, other_service_id FROM inventory_conflicts;

-- Every customer has one row.
CREATE MATERIALIZED VIEW inv_customers_have_a_row AS
SELECT customer_id, sum(n) AS n
FROM (
    SELECT customer_id, 1 AS n FROM customer_360
    UNION ALL
    SELECT customer_id, -1 FROM customer_states
) f
GROUP BY customer_id
HAVING sum(n) <> 0;

-- What was done in five minutes, with what came late, is what was done in sessions.
CREATE MATERIALIZED VIEW inv_activity_is_sessions AS
SELECT visitor, sum(events) AS astray
FROM (
    SELECT visitor, events FROM activity_5m
    UNION ALL
    SELECT visitor, events FROM late_adjustments
    UNION ALL
    SELECT visitor, -events FROM sessions
) f
GROUP BY visitor
HAVING sum(events) <> 0;
