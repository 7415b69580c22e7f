-- Today by the logical clock, in UTC: one row that changes at midnight and at no other moment.
--
-- Key: today. In: the clock. Views that age by the day join it, so that they change once a day and not with each tick. Replay
-- gives the same days again. It reads no events: none is late, corrected or cancelled.
CREATE MATERIALIZED VIEW clock_day WITH (key = 'today') AS
SELECT day::date AS today
FROM generate_series(TIMESTAMP '2010-01-01', TIMESTAMP '2050-01-01', INTERVAL '1 day') s (day)
WHERE day <= now() AND day + INTERVAL '1 day' > now();
