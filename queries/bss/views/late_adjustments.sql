-- What came too late for the five minutes in which it happened, and what was taken back after they were closed.
--
-- Key: visitor, started_at, kind, booked_on, reason. In: visits_told. started_at is the closed window of activity_5m, booked_on the day
-- (UTC) on which it became known; events is what is to be added: positive for late, negative for voided. An event that is late and
-- voided has no row. A correction that comes after the close is one voided and one late.
CREATE MATERIALIZED VIEW late_adjustments WITH (key = 'visitor,started_at,kind,booked_on,reason') AS
SELECT visitor, started_at, kind, booked_on, reason, sum(events) AS events
FROM (
    SELECT visitor, date_bin(INTERVAL '5 minutes', happened_at) AS started_at, kind, recorded_at::date AS booked_on, 'late' AS reason, 1 AS events
    FROM visits_told
    WHERE recorded_at > date_bin(INTERVAL '5 minutes', happened_at) + INTERVAL '15 minutes' AND voided_at IS NULL
    UNION ALL
    SELECT visitor, date_bin(INTERVAL '5 minutes', happened_at), kind, voided_at::date, 'voided', -1
    FROM visits_told
    WHERE voided_at > date_bin(INTERVAL '5 minutes', happened_at) + INTERVAL '15 minutes'
      AND coalesce(recorded_at, happened_at) <= date_bin(INTERVAL '5 minutes', happened_at) + INTERVAL '15 minutes'
) l
GROUP BY visitor, started_at, kind, booked_on, reason;
