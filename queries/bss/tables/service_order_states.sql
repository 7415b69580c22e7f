-- Orders to the network to bring about, change or end a service.
--
-- Key: service_order_id. In: serviceOrder.* (created, stateChanged), each with the whole order. A late event changes nothing
-- where a greater version is known; a correction is the next version; a cancelled order stays, with that state.
CREATE EXTERNAL TABLE service_order_states (
    service_order_id TEXT NOT NULL,
    order_id TEXT,
    service_id TEXT,
    state TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.serviceOrder.*, ServiceOrderCreateEvent, ServiceOrderAttributeValueChangeEvent,
    ServiceOrderStateChangeEvent, ServiceOrderDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'service_order_id',
    'version' 'version',
    'column.service_order_id' 'data.serviceOrderId',
    'column.order_id' 'data.orderId',
    'column.service_id' 'data.serviceId',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
