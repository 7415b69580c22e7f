-- What each product should cost in each region in the next hour, and every bound that acted.
--
-- Key: offering_id, region. In: offering_states, offering_prices, demand_index, load_index, entity_lists, the clock. wanted =
-- list price x (1 + 0.10 x (demand - 1) + 0.15 x (load - 0.7)), by the demand of the last full hour (1 if none) and the load
-- of the stock (0.7 if none). Then, in this order: a day's step of 5 % and a week's of 10 % from the price that held then;
-- cost x 1.1 and the regulated floor at least; the list price at most; an ending of .99 where the bounds allow it. A product
-- on the list price_freeze or promotion keeps its price. No personal data goes in. Published prices do not change by it: a new
-- version of the price list does that. A corrected offering or price is taken at once, a demand of an hour that is closed is
-- not corrected.
CREATE MATERIALIZED VIEW recommended_price WITH (key = 'offering_id,region') AS
WITH prices AS (
    SELECT offering_id, unit_price, valid_from, price_id, price_version
    FROM offering_prices
    WHERE price_type IN ('recurring', 'oneTime') AND coalesce(lifecycle, 'Active') NOT IN ('Retired', 'Obsolete') AND valid_from <= now()
      AND segment IS NULL AND unit_price IS NOT NULL
), held_now AS (
    SELECT DISTINCT ON (offering_id) offering_id, unit_price FROM prices ORDER BY offering_id, valid_from DESC, price_id, price_version DESC
), held_yesterday AS (
    SELECT DISTINCT ON (offering_id) offering_id, unit_price FROM prices WHERE valid_from <= now() - INTERVAL '1 day'
    ORDER BY offering_id, valid_from DESC, price_id, price_version DESC
), held_last_week AS (
    SELECT DISTINCT ON (offering_id) offering_id, unit_price FROM prices WHERE valid_from <= now() - INTERVAL '7 days'
    ORDER BY offering_id, valid_from DESC, price_id, price_version DESC
), regions AS (
    SELECT DISTINCT offering_id, region FROM demand_index
), hour AS (
    SELECT offering_id, region, demand FROM demand_index WHERE hour + INTERVAL '1 hour' <= now() AND hour + INTERVAL '2 hours' > now()
), wanted AS (
    SELECT o.offering_id, coalesce(r.region, 'unknown') AS region, o.currency, o.list_price, coalesce(n.unit_price, o.list_price) AS price_now,
           coalesce(y.unit_price, n.unit_price, o.list_price) AS price_yesterday, coalesce(w.unit_price, y.unit_price, n.unit_price, o.list_price) AS price_last_week,
           greatest(round(o.cost * 1.1, 2), o.regulated_floor, 0.01) AS floor_price,
           coalesce(h.demand, 1.0) AS demand, coalesce(l.load, 0.7) AS load,
           o.list_price * (1 + 0.10 * (coalesce(h.demand, 1.0) - 1) + 0.15 * (coalesce(l.load, 0.7) - 0.7)) AS wanted,
           f.list_name AS frozen
    FROM offering_states o
    LEFT JOIN regions r ON r.offering_id = o.offering_id
    LEFT JOIN held_now n ON n.offering_id = o.offering_id
    LEFT JOIN held_yesterday y ON y.offering_id = o.offering_id
    LEFT JOIN held_last_week w ON w.offering_id = o.offering_id
    LEFT JOIN hour h ON h.offering_id = o.offering_id AND h.region = r.region
    LEFT JOIN load_index l ON l.kind = 'stock' AND l.resource_id = o.offering_id
    LEFT JOIN (
        SELECT entity_key, min(list_name) AS list_name FROM entity_lists
        WHERE list_name IN ('price_freeze', 'promotion') AND (expires_at IS NULL OR expires_at > now())
        GROUP BY entity_key
    ) f ON f.entity_key = o.offering_id
    WHERE o.list_price IS NOT NULL AND o.lifecycle IN ('Active', 'Launched')
), daily AS (
    SELECT *, greatest(price_yesterday * 0.95, least(price_yesterday * 1.05, wanted)) AS after_day FROM wanted
), weekly AS (
    SELECT *, greatest(price_last_week * 0.90, least(price_last_week * 1.10, after_day)) AS after_week FROM daily
), bounded AS (
    SELECT *, round(least(list_price, greatest(floor_price, after_week)), 2) AS bounded FROM weekly
), charmed AS (
    SELECT *, CASE WHEN floor(bounded) - 0.01 >= greatest(floor_price, price_yesterday * 0.95, price_last_week * 0.90) AND bounded - floor(bounded) < 0.50
                   THEN floor(bounded) - 0.01
                   WHEN floor(bounded) + 0.99 <= least(list_price, price_yesterday * 1.05, price_last_week * 1.10)
                   THEN floor(bounded) + 0.99 ELSE bounded END AS charm
    FROM bounded
)
SELECT offering_id, region, currency, price_now::numeric(14, 2) AS price_now,
       (CASE WHEN frozen IS NOT NULL THEN price_now ELSE charm END)::numeric(14, 2) AS price,
       demand, load, list_price, floor_price, round(wanted, 4) AS wanted,
       concat_ws(', ', frozen, CASE WHEN frozen IS NULL AND after_day <> wanted THEN 'day step' END,
                 CASE WHEN frozen IS NULL AND after_week <> after_day THEN 'week step' END,
                 CASE WHEN frozen IS NULL AND after_week < floor_price THEN 'floor' END,
                 CASE WHEN frozen IS NULL AND greatest(floor_price, after_week) > list_price THEN 'list price' END,
                 CASE WHEN frozen IS NULL AND charm <> bounded THEN 'ending' END) AS bounds
FROM charmed;
