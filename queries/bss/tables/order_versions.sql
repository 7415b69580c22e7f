-- What was said of each order, version by version, with the whole statement.
--
-- Key: order_id, event_id. In: the events of order_states with their data as it came. A late version adds its row; an event
-- sent twice stands once. Nothing here is taken back: a correction and a cancellation are versions too. What commands of the
-- HTTP API begin from, and what /orders/{id}/history shows.
CREATE EXTERNAL TABLE order_versions (
    order_id TEXT NOT NULL,
    version BIGINT,
    event_id TEXT,
    event_type TEXT,
    source TEXT,
    changed_at TIMESTAMP,
    data TEXT
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.productOrder.*, ProductOrderCreateEvent, ProductOrderAttributeValueChangeEvent,
    ProductOrderStateChangeEvent, ProductOrderDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'order_id,event_id',
    'column.order_id' 'data.orderId',
    'column.version' 'entityversion',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.source' 'source',
    'column.changed_at' 'time',
    'column.data' 'data'
);
