-- What visitors and customers were told to have done in the shop, also where that was taken back: views, searches, carts, ratings,
-- clicks.
--
-- A row for each event. In: interactions, cart_events, fact_voids. kind is view, search, cart, rating or campaign. visitor is the
-- customer; where nobody is logged in, the one who logged in within the same session, before or after; else the anonymous
-- visitor. voided_at is when it was first known to be taken back or corrected; a correction is an event of its own. A late event
-- stands at the time when it happened.
CREATE MATERIALIZED VIEW visits_told AS
SELECT e.event_id, e.session_id, coalesce(e.customer_id, s.customer_id) AS customer_id,
       coalesce(e.customer_id, s.customer_id, 'anonymous/' || coalesce(e.anonymous_id, e.session_id, e.event_id)) AS visitor,
       e.kind, e.offering_id, e.happened_at, e.recorded_at, v.voided_at
FROM (
    SELECT event_id, session_id, anonymous_id, customer_id, offering_id, happened_at, recorded_at,
           CASE WHEN event_type LIKE '%.product.searched.%' THEN 'search' WHEN event_type LIKE '%.product.added.%' THEN 'cart'
                WHEN event_type LIKE '%.product.rated.%' THEN 'rating' WHEN event_type LIKE '%.campaign.%' THEN 'campaign'
                ELSE 'view' END AS kind
    FROM interactions
    WHERE event_type NOT LIKE '%.voided.%'
    UNION ALL
    SELECT event_id, session_id, NULL, customer_id, offering_id, happened_at, recorded_at, 'cart'
    FROM cart_events
    WHERE event_type LIKE '%.cart.itemAdded.%'
) e
LEFT JOIN (
    SELECT session_id, max(customer_id) AS customer_id FROM interactions WHERE customer_id IS NOT NULL GROUP BY session_id
) s ON s.session_id = e.session_id
LEFT JOIN (
    SELECT supersedes, min(coalesce(recorded_at, voided_at)) AS voided_at FROM fact_voids WHERE supersedes IS NOT NULL GROUP BY supersedes
) v ON v.supersedes = e.event_id;
