-- What each country brought in on each day, and in how many documents.
CREATE MATERIALIZED VIEW revenue_by_day_country AS
SELECT CAST(time AS DATE) AS day, country AS "Country", sum(amount) AS net, count(DISTINCT document) AS docs
FROM lines
GROUP BY CAST(time AS DATE), country;
