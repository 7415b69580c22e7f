-- Each order as known now, with the number of its positions.
--
-- Key: order_id. In: order_states, order_lines. An order and its positions change together, at one time. A late event changes
-- nothing where a newer state is known; an amended order takes the place of the one before; a cancelled order stays, with
-- state 'cancelled'.
CREATE MATERIALIZED VIEW orders WITH (key = 'order_id') AS
SELECT o.order_id, o.customer_id, o.channel, o.country, o.state, o.ordered_at, o.net, o.tax, o.gross, o.currency,
       coalesce(l.lines, 0) AS lines, coalesce(l.quantity, 0) AS quantity, o.changed_at
FROM order_states o
LEFT JOIN (
    SELECT order_id, count(*) AS lines, sum(quantity) AS quantity
    FROM order_lines
    GROUP BY order_id
) l ON l.order_id = o.order_id;
