-- What is looked at unusually often: the products of the last full hour, and of the last 24.
--
-- Key: hours, offering_id. In: trending_hours, offering_states, the clock. score = (views - usual) / sqrt(usual + 1), usual
-- being the mean of the same hour of the 28 days before, or of the 28 days before those 24 hours. Products with fewer than 20
-- views are left out; the rest is ranked within its category. Late views change it while their hour counts; when a bot is
-- recognised its views go. Voided and corrected views change it alike.
CREATE MATERIALIZED VIEW trending WITH (key = 'hours,offering_id') AS
WITH recent AS (
    SELECT 1 AS hours, offering_id, sum(views) AS views, sum(mean_28d) AS usual
    FROM trending_hours WHERE hour + INTERVAL '1 hour' <= now() AND hour + INTERVAL '2 hours' > now()
    GROUP BY offering_id
    UNION ALL
    SELECT 24, offering_id, views, usual
    FROM (
        SELECT offering_id, sum(views) FILTER (WHERE hour + INTERVAL '25 hours' > now()) AS views,
               coalesce(sum(views) FILTER (WHERE hour + INTERVAL '25 hours' <= now()), 0)::numeric / 28 AS usual
        FROM trending_hours WHERE hour + INTERVAL '1 hour' <= now() AND hour + INTERVAL '697 hours' > now()
        GROUP BY offering_id
    ) days
), scored AS (
    SELECT r.hours, coalesce(o.category, 'unknown') AS category, r.offering_id, r.views, round(r.usual, 4) AS usual,
           round(((r.views - r.usual)::double precision / sqrt(r.usual::double precision + 1))::numeric, 4) AS score
    FROM recent r
    LEFT JOIN offering_states o ON o.offering_id = r.offering_id
    WHERE r.views >= 20
)
SELECT hours, category, offering_id, views, 20 AS views_min, usual, score,
       row_number() OVER (PARTITION BY hours, category ORDER BY score DESC, offering_id) AS place
FROM scored;
