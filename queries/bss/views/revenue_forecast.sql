-- What the next 30 days will bring per country and currency, by a straight line through the last 28 closed days.
--
-- Key: country, currency. In: revenue_booked, the clock. Days without revenue count as 0. slope and intercept are those of least
-- squares over days 1 to 28, the five sums are exact; low and high are 1.96 standard errors of the daily rest, for the sum of 30
-- days. NULL where there are less than 14 days since the first revenue. Late and corrected bills change the sums of their day at
-- once; at midnight (UTC) the window moves on.
CREATE MATERIALIZED VIEW revenue_forecast WITH (key = 'country,currency') AS
WITH window_days AS (
    SELECT country, currency, revenue, day, (now() AT TIME ZONE 'UTC')::date AS today
    FROM revenue_booked
    WHERE day::timestamp + INTERVAL '1 day' <= now() AND day::timestamp + INTERVAL '29 days' > now()
), sums AS (
    SELECT country, currency, 28 AS n, 406 AS sx, 7714 AS sxx,
           sum(revenue) AS sy, sum(revenue * (29 - (today - day))) AS sxy, min(first_day) AS first_day, min(today) AS today
    FROM (
        SELECT country, currency, day, today, sum(revenue) AS revenue, min(day) AS first_day
        FROM window_days
        GROUP BY country, currency, day, today
    ) d
    GROUP BY country, currency
), squares AS (
    SELECT country, currency, sum(revenue * revenue) AS syy
    FROM (
        SELECT country, currency, day, sum(revenue) AS revenue
        FROM window_days
        GROUP BY country, currency, day
    ) d
    GROUP BY country, currency
), line AS (
    SELECT s.country, s.currency, s.n, s.sy::double precision AS sy, s.today, s.first_day,
           (s.n * s.sxy - s.sx * s.sy)::double precision / (s.n * s.sxx - s.sx * s.sx) AS slope,
           (s.n * s.sxy - s.sx * s.sy)::double precision AS sxy_c, (s.n * s.sxx - s.sx * s.sx)::double precision AS sxx_c,
           (s.n * q.syy - s.sy * s.sy)::double precision AS syy_c, s.sx
    FROM sums s
    JOIN squares q ON q.country = s.country AND q.currency = s.currency
    WHERE s.today - s.first_day >= 14
)
SELECT country, currency, n AS days, round(slope::numeric, 4) AS slope, round(((sy - slope * sx) / n)::numeric, 2) AS intercept,
       round((CASE WHEN syy_c > 0 THEN sxy_c * sxy_c / (sxx_c * syy_c) END)::numeric, 4) AS r2,
       round((30 * (sy - slope * sx) / n + slope * 1305)::numeric, 2) AS next_30_days,
       round((30 * (sy - slope * sx) / n + slope * 1305
              - 1.96 * sqrt(30 * greatest(syy_c - sxy_c * sxy_c / sxx_c, 0) / n / (n - 2)))::numeric, 2) AS low,
       round((30 * (sy - slope * sx) / n + slope * 1305
              + 1.96 * sqrt(30 * greatest(syy_c - sxy_c * sxy_c / sxx_c, 0) / n / (n - 2)))::numeric, 2) AS high
FROM line;
