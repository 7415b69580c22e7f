-- F1: attempts to pay that come too fast.
--
-- Key: pivot, payment_id. In: pay_attempts. A row for each attempt at which, looking back from it, an instrument has 5
-- attempts within 10 minutes (pivot instrument/..), or a customer 8 within 10 minutes or 3 different instruments within an
-- hour (pivot customer/..). A late attempt is judged at its own time and may make later ones hits. A corrected instrument
-- moves its attempts; a voided payment takes its hits along, and those it caused.
CREATE MATERIALIZED VIEW fraud_velocity WITH (key = 'pivot,payment_id') AS
SELECT 'F1' AS rule_id, 1 AS rule_version, pivot, customer_id, payment_id, attempted_at AS happened_at,
       attempts_10m, 5 AS instrument_attempts_max, 8 AS customer_attempts_max, instruments_1h, 3 AS instruments_max,
       least(1.0, round(0.4 + 0.3 * greatest(attempts_10m::numeric / allowed - 1, 0)
                            + 0.3 * greatest(instruments_1h::numeric / 3 - 1, 0)
                            + CASE WHEN attempts_10m >= allowed AND instruments_1h >= 3 THEN 0.3 ELSE 0 END, 4)) AS score,
       array_to_string(array_slice(array_sort(evidence), 1, 20), ',') AS evidence
FROM (
    SELECT 'instrument/' || instrument AS pivot, customer_id, payment_id, attempted_at, 5 AS allowed,
           count(*) OVER w AS attempts_10m, 1 AS instruments_1h, array_agg(payment_id) OVER w AS evidence
    FROM pay_attempts
    WHERE instrument IS NOT NULL
    WINDOW w AS (PARTITION BY instrument ORDER BY attempted_at RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND CURRENT ROW)
    UNION ALL
    SELECT 'customer/' || customer_id, customer_id, payment_id, attempted_at, 8,
           count(*) OVER (PARTITION BY customer_id ORDER BY attempted_at
                          RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND CURRENT ROW),
           count(DISTINCT instrument) OVER w, array_agg(payment_id) OVER w
    FROM pay_attempts
    WHERE customer_id IS NOT NULL
    WINDOW w AS (PARTITION BY customer_id ORDER BY attempted_at RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW)
) attempts
WHERE attempts_10m >= allowed OR instruments_1h >= 3;
