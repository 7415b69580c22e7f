-- Every state an order was in, for the time it took to get there.
--
-- Key: order_id, state, version. In: productOrder.*. A late event adds its row at the time when it happened; the same version
-- stated twice stands once.
CREATE EXTERNAL TABLE order_history (
    order_id TEXT NOT NULL,
    state TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.productOrder.*, ProductOrderCreateEvent, ProductOrderAttributeValueChangeEvent,
    ProductOrderStateChangeEvent, ProductOrderDeleteEvent, ProductOrderInformationRequiredEvent,
    CancelProductOrderCreateEvent, CancelProductOrderStateChangeEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'order_id,state,version',
    'version' 'version',
    'column.order_id' 'data.orderId',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
