-- What the next 30 days will bring per country and currency, by a straight line through the last 28 closed days.
--
-- Key: country, currency. In: revenue_booked, the clock. Days without revenue count as 0. slope and intercept are those of least
-- squares over days 1 to 28, the five sums are exact; low and high are 1.96 standard errors of the daily rest, for the sum of 30
-- days. by_weekday is the same sum from days that were set right for their weekday (less what the mean of its four days is above or
-- below the mean of all), with the weekdays of the next 30 days put back. No row where there are less than 14 days since the first
-- revenue. Late and corrected bills change the sums of their day at once; at midnight (UTC) the window moves on. Voided ones
-- are taken off as revenue_booked does.
CREATE MATERIALIZED VIEW revenue_forecast WITH (key = 'country,currency') AS
WITH window_days AS (
    SELECT country, currency, day, sum(revenue) AS revenue, 29 - (max(today) - day) AS x, max(today) AS today
    FROM (
        SELECT country, currency, revenue, day, (now() AT TIME ZONE 'UTC')::date AS today
        FROM revenue_booked
        WHERE day::timestamp + INTERVAL '1 day' <= now() AND day::timestamp + INTERVAL '29 days' > now()
    ) d
    GROUP BY country, currency, day
), weekdays AS (
    -- k numbers the weekdays by the first of their four days: x is k, k + 7, k + 14 and k + 21, which add up to 4 k + 42.
    SELECT country, currency, (x - 1) % 7 + 1 AS k, sum(revenue) AS sy, sum(revenue * x) AS sxy, sum(revenue * revenue) AS syy,
           min(day) AS first_day, max(today) AS today
    FROM window_days
    GROUP BY country, currency, (x - 1) % 7 + 1
), sums AS (
    SELECT country, currency, 28 AS n, 406 AS sx, 7714 AS sxx, sum(sy) AS sy, sum(sxy) AS sxy, sum(syy) AS syy,
           sum(sy * (4 * k + 42)) AS sxy_weekdays, coalesce(sum(sy) FILTER (WHERE k <= 2), 0) AS sy_next,
           min(first_day) AS first_day, max(today) AS today
    FROM weekdays
    GROUP BY country, currency
), line AS (
    SELECT country, currency, n, sy::double precision AS sy, sx,
           (n * sxy - sx * sy)::double precision / (n * sxx - sx * sx) AS slope,
           (n * sxy - sx * sy)::double precision AS sxy_c, (n * sxx - sx * sx)::double precision AS sxx_c,
           (n * syy - sy * sy)::double precision AS syy_c,
           -- Of the days set right, x * y adds up to sxy - sxy_weekdays / 4 + sx * sy / 28; their sum is sy still.
           (n * sxy - n * sxy_weekdays / 4)::double precision / (n * sxx - sx * sx) AS slope_weekday,
           -- The days 29 and 30 of a week that begins with day 1; the other 28 add up to nothing.
           (sy_next / 4)::double precision - 2 * sy::double precision / n AS next_weekdays
    FROM sums
    WHERE today - first_day >= 14
)
SELECT country, currency, n AS days, round(slope::numeric, 4) AS slope, round(((sy - slope * sx) / n)::numeric, 2) AS intercept,
       round((CASE WHEN syy_c > 0 THEN sxy_c * sxy_c / (sxx_c * syy_c) END)::numeric, 4) AS r2,
       round((30 * (sy - slope * sx) / n + slope * 1305)::numeric, 2) AS next_30_days,
       round((30 * (sy - slope * sx) / n + slope * 1305
              - 1.96 * sqrt(30 * greatest(syy_c - sxy_c * sxy_c / sxx_c, 0) / n / (n - 2)))::numeric, 2) AS low,
       round((30 * (sy - slope * sx) / n + slope * 1305
              + 1.96 * sqrt(30 * greatest(syy_c - sxy_c * sxy_c / sxx_c, 0) / n / (n - 2)))::numeric, 2) AS high,
       round(slope_weekday::numeric, 4) AS slope_weekday,
       round((30 * (sy - slope_weekday * sx) / n + slope_weekday * 1305 + next_weekdays)::numeric, 2) AS by_weekday
FROM line;
