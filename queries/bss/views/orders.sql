-- Each order as known now: what it says of itself, what its positions add up to, and how long its stages took.
--
-- Key: order_id. In: order_states, order_lines, order_item_states, order_history. An order and its positions change together, at
-- one time. derived_state follows from the positions; net_of_lines leaves out cancelled ones, and mismatch says that it is not
-- the stated net. A late event changes nothing where a newer state is known; an amended order takes the place of the one
-- before; a cancelled order stays, with state 'cancelled'. An order whose creation is not known yet is incomplete.
CREATE MATERIALIZED VIEW orders WITH (key = 'order_id') AS
SELECT o.order_id, o.customer_id, o.channel, o.country, o.state, o.ordered_at, o.net, o.tax, o.gross, o.currency,
       coalesce(l.lines, 0) AS lines, coalesce(l.quantity, 0) AS quantity, o.changed_at,
       CASE WHEN l.completed = l.lines THEN 'completed'
            WHEN l.failed > 0 AND l.completed > 0 THEN 'partial'
            WHEN l.cancelled = l.lines THEN 'cancelled'
            ELSE o.state END AS derived_state,
       l.net AS net_of_lines,
       coalesce(l.net <> o.net, false) AS mismatch,
       o.customer_id IS NULL OR o.ordered_at IS NULL AS incomplete,
       o.account_id, o.cancellation_reason, s.started_at, s.completed_at,
       s.started_at - o.ordered_at AS time_to_start,
       s.completed_at - o.ordered_at AS time_to_complete
FROM order_states o
LEFT JOIN (
    SELECT p.order_id, count(*) AS lines, sum(p.quantity) AS quantity,
           count(*) FILTER (WHERE coalesce(i.state, p.state) = 'completed') AS completed,
           count(*) FILTER (WHERE coalesce(i.state, p.state) = 'failed') AS failed,
           count(*) FILTER (WHERE coalesce(i.state, p.state) = 'cancelled') AS cancelled,
           sum(CASE WHEN coalesce(i.state, p.state) = 'cancelled' THEN 0
                    ELSE p.quantity * p.unit_price - coalesce(p.discount, 0) END) AS net
    FROM order_lines p
    LEFT JOIN order_item_states i ON i.order_id = p.order_id AND i.item_id = p.item_id
    GROUP BY p.order_id
) l ON l.order_id = o.order_id
LEFT JOIN order_stages s ON s.order_id = o.order_id;
