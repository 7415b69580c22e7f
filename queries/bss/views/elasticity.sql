-- How the sale of each product goes with its price: percent more or less sold for a percent more of price.
--
-- Key: offering_id, currency. In: order_states, order_lines, offering_states. The slope of ln(quantity) on ln(mean price) by
-- weeks, between -5 and -0.1, where there are 8 weeks or more and 3 prices or more; else the mean of such products of its
-- category; else -1.2. basis says which; r2 and weeks are those of the product. A product with a list price that was never sold in
-- its currency has a row with 0 weeks. A cancelled order leaves its week, a late one enters it. An amended order counts as
-- amended.
CREATE MATERIALIZED VIEW elasticity WITH (key = 'offering_id,currency') AS
WITH weekly AS (
    SELECT l.offering_id, l.currency, date_trunc('week', o.ordered_at) AS week, sum(l.quantity) AS quantity,
           round(sum(l.quantity * l.unit_price) / sum(l.quantity), 2) AS price
    FROM order_lines l
    JOIN order_states o ON o.order_id = l.order_id
    WHERE o.state NOT IN ('cancelled', 'rejected', 'failed') AND l.quantity > 0 AND l.unit_price > 0
      AND l.offering_id IS NOT NULL AND l.currency IS NOT NULL
    GROUP BY l.offering_id, l.currency, date_trunc('week', o.ordered_at)
), sums AS (
    -- Logarithms to nine decimals, so that the sums are exact.
    SELECT offering_id, currency, count(*) AS n, count(DISTINCT price) AS prices, sum(x) AS sx, sum(y) AS sy, sum(x * x) AS sxx, sum(x * y) AS sxy, sum(y * y) AS syy
    FROM (
        SELECT offering_id, currency, price, round(ln(price::double precision)::numeric, 9)::numeric(12, 9) AS x,
               round(ln(quantity::double precision)::numeric, 9)::numeric(12, 9) AS y
        FROM weekly
    ) logs
    GROUP BY offering_id, currency
), moments AS (
    SELECT offering_id, currency, n, prices, (n * sxx)::double precision - (sx * sx)::double precision AS dx,
           (n * sxy)::double precision - (sx * sy)::double precision AS dxy, (n * syy)::double precision - (sy * sy)::double precision AS dy
    FROM sums
), own AS (
    SELECT offering_id, currency, n, prices,
           CASE WHEN n >= 8 AND prices >= 3 AND dx > 0 THEN round(greatest(-5, least(-0.1, dxy / dx))::numeric, 4) END AS slope,
           CASE WHEN dx > 0 AND dy > 0 THEN round((dxy * dxy / (dx * dy))::numeric, 4) END AS r2
    FROM moments
), by_category AS (
    SELECT o.category, w.currency, round(avg(w.slope), 4) AS slope
    FROM own w
    JOIN offering_states o ON o.offering_id = w.offering_id
    WHERE w.slope IS NOT NULL AND o.category IS NOT NULL
    GROUP BY o.category, w.currency
), listed AS (
    SELECT offering_id, currency, n, prices, slope, r2 FROM own
    UNION ALL
    SELECT o.offering_id, o.currency, 0, 0, NULL, NULL
    FROM offering_states o
    LEFT JOIN own w ON w.offering_id = o.offering_id AND w.currency = o.currency
    WHERE o.list_price IS NOT NULL AND o.currency IS NOT NULL AND w.offering_id IS NULL
)
SELECT w.offering_id, w.currency, coalesce(w.slope, c.slope, -1.2) AS elasticity,
       CASE WHEN w.slope IS NOT NULL THEN 'own' WHEN c.slope IS NOT NULL THEN 'category' ELSE 'assumed' END AS basis,
       w.r2, w.n AS weeks, w.prices
FROM listed w
LEFT JOIN offering_states o ON o.offering_id = w.offering_id
LEFT JOIN by_category c ON c.category = o.category AND c.currency = w.currency;
