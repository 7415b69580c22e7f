-- What was looked at unusually often on the last full day (UTC).
--
-- Key: offering_id. In: trending_hours, offering_states, the clock. score = (views - usual) / sqrt(usual + 1), usual being the mean
-- of the 28 days before; products with fewer than 20 views are left out. It changes at midnight, and when views of that day come
-- late, are voided, or turn out to be those of a bot.
CREATE VIEW trending_daily AS
SELECT d.offering_id, coalesce(o.category, 'unknown') AS category, d.views, d.usual,
       round(((d.views - d.usual)::double precision / sqrt(d.usual::double precision + 1))::numeric, 4) AS score
FROM (
    SELECT offering_id, day, views,
           coalesce(sum(views) OVER (PARTITION BY offering_id ORDER BY day
                    RANGE BETWEEN INTERVAL '28 days' PRECEDING AND INTERVAL '1 day' PRECEDING), 0)::numeric / 28 AS usual
    FROM (SELECT offering_id, date_trunc('day', hour) AS day, sum(views) AS views FROM trending_hours GROUP BY offering_id, date_trunc('day', hour)) days
) d
LEFT JOIN offering_states o ON o.offering_id = d.offering_id
WHERE d.day + INTERVAL '1 day' <= now() AND d.day + INTERVAL '2 days' > now() AND d.views >= 20;
