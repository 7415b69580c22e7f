-- The state of single positions of an order, where it is stated apart from the order.
--
-- Key: order_id, item_id. In: productOrderItem.stateChanged.*. A late event changes nothing where a greater version is known;
-- a correction is the next version; a cancelled position stays, with that state.
CREATE EXTERNAL TABLE order_item_states (
    order_id TEXT NOT NULL,
    item_id BIGINT,
    state TEXT,
    reason TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.productOrderItem.stateChanged.*'
OPTIONS (
    'mode' 'latest',
    'key' 'order_id,item_id',
    'version' 'version',
    'column.order_id' 'data.orderId',
    'column.item_id' 'data.itemId',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
