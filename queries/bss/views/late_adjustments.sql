-- What came too late for the five minutes in which it happened, and what was taken back after they were closed.
--
-- Key: visitor, started_at, kind, booked_on, reason. In: visits_told. started_at is the closed window of activity_5m, booked_on
-- the day (UTC) on which it became known; events is what is to be added: positive for late, negative for voided. An event that is
-- late and voided has no row. A correction that comes after the close is one voided and one late.
CREATE MATERIALIZED VIEW late_adjustments WITH (key = 'visitor,started_at,kind,booked_on,reason') AS
SELECT visitor, started_at, kind, booked_on, reason, sum(events) AS events
FROM (
    SELECT visitor, date_bin(INTERVAL '5 minutes', happened_at) AS started_at, kind,
           CASE WHEN voided_at IS NULL THEN recorded_at ELSE voided_at END::date AS booked_on,
           CASE WHEN voided_at IS NULL THEN 'late' ELSE 'voided' END AS reason,
           CASE WHEN voided_at IS NULL THEN 1 ELSE -1 END AS events
    FROM visits_told
    WHERE CASE WHEN voided_at IS NULL THEN coalesce(recorded_at > date_bin(INTERVAL '5 minutes', happened_at) + INTERVAL '15 minutes', false)
               ELSE voided_at > date_bin(INTERVAL '5 minutes', happened_at) + INTERVAL '15 minutes'
                    AND coalesce(recorded_at, happened_at) <= date_bin(INTERVAL '5 minutes', happened_at) + INTERVAL '15 minutes' END
) l
GROUP BY visitor, started_at, kind, booked_on, reason;
