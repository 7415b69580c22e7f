-- Goods that come, go and are set aside; level is what the warehouse counted, where it did.
--
-- One row per event of stock.* (adjusted, reserved, released). A late one counts at the time when it happened. Facts: a wrong
-- one is set right by another.
CREATE EXTERNAL TABLE stock_movements (
    event_id TEXT NOT NULL,
    event_type TEXT,
    offering_id TEXT,
    location TEXT,
    delta BIGINT,
    level BIGINT,
    reason TEXT,
    order_id TEXT,
    moved_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.stock.*, ProductStockCreateEvent, ProductStockAttributeValueChangeEvent,
    ReserveProductStockCreateEvent'
OPTIONS (
    'mode' 'append',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.offering_id' 'data.offeringId',
    'column.order_id' 'data.orderId',
    'column.moved_at' 'time'
);
