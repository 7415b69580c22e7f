-- When each order first was in each stage.
--
-- Key: order_id. In: order_history. A late event moves a stage to the time when it happened. A cancelled order has
-- cancelled_at, and keeps its other stages; a state that was wrong stays in the history.
CREATE VIEW order_stages AS
SELECT order_id,
       min(changed_at) FILTER (WHERE state = 'acknowledged') AS acknowledged_at,
       min(changed_at) FILTER (WHERE state = 'inProgress') AS started_at,
       min(changed_at) FILTER (WHERE state = 'completed') AS completed_at,
       min(changed_at) FILTER (WHERE state = 'cancelled') AS cancelled_at
FROM order_history
GROUP BY order_id;
