-- What the network's inventory says about each service that realises a subscription.
--
-- Key: service_id. In: service.* (designed, reserved, activated, degraded, suspended, terminated), each with the service's
-- whole state. A late event changes nothing where a greater version is known; a correction is the next version; a terminated
-- service stays, with that state.
CREATE EXTERNAL TABLE service_states (
    service_id TEXT NOT NULL,
    subscription_id TEXT,
    customer_id TEXT,
    order_id TEXT,
    service_type TEXT,
    state TEXT,
    operating_status TEXT,
    sla_due TIMESTAMP,
    activated_at TIMESTAMP,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.service.*, ServiceCreateEvent, ServiceAttributeValueChangeEvent,
    ServiceStateChangeEvent, ServiceDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'service_id',
    'version' 'version',
    'column.service_id' 'data.serviceId',
    'column.subscription_id' 'data.productId',
    'column.customer_id' 'data.customerId',
    'column.order_id' 'data.orderId',
    'column.service_type' 'data.serviceType',
    'column.operating_status' 'data.operatingStatus',
    'column.sla_due' 'data.slaDue',
    'column.activated_at' 'data.activatedAt',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
