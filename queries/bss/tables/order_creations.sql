-- How each order was first told: what it came to then, and when that was known.
--
-- Key: order_id. In: productOrder.created.*. Later versions of the order change nothing here; created told again with a greater
-- entityversion does. recorded_at is set where the order was told late.
CREATE EXTERNAL TABLE order_creations (
    order_id TEXT NOT NULL,
    country TEXT,
    gross DECIMAL(14, 2),
    currency TEXT,
    version BIGINT,
    created_at TIMESTAMP,
    recorded_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.productOrder.created.*, ProductOrderCreateEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'order_id',
    'version' 'version',
    'column.order_id' 'data.orderId',
    'column.country' 'data.region',
    'column.gross' 'data.totals.gross.value',
    'column.currency' 'data.totals.gross.unit',
    'column.version' 'entityversion',
    'column.created_at' 'time',
    'column.recorded_at' 'recordedtime'
);
