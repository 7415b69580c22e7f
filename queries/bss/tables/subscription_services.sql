-- Which services realise a subscription: one row per element of realizingServices.
--
-- Key of the event: subscription_id; of the row: with service_id. In: product.* as for subscription_states. When a
-- subscription is stated again, all its rows are replaced.
CREATE EXTERNAL TABLE subscription_services (
    subscription_id TEXT NOT NULL,
    service_id TEXT,
    version BIGINT
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.product.created.*, com.example.bss.product.activated.*,
    com.example.bss.product.suspended.*, com.example.bss.product.resumed.*,
    com.example.bss.product.planChanged.*, com.example.bss.product.renewed.*,
    com.example.bss.product.terminateScheduled.*, com.example.bss.product.terminated.*,
    com.example.bss.product.trialStarted.*, com.example.bss.product.trialEnded.*,
    com.example.bss.product.cancelled.*, com.example.bss.product.aborted.*, ProductCreateEvent,
    ProductAttributeValueChangeEvent, ProductStateChangeEvent, ProductBatchEvent, ProductDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'subscription_id',
    'version' 'version',
    'each' 'data.realizingServices',
    'column.subscription_id' 'data.productId',
    'column.service_id' 'item.serviceId',
    'column.version' 'entityversion'
);
