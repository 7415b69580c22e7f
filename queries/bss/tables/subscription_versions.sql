-- What was said of each subscription, version by version, with the whole statement.
--
-- Key: subscription_id, event_id. In: the events of subscription_history with their data as it came. A late version adds its row; an event
-- sent twice stands once. Nothing here is taken back: a correction and a cancellation are versions too. What commands of the
-- HTTP API begin from, and what /subscriptions/{id}/history shows.
CREATE EXTERNAL TABLE subscription_versions (
    subscription_id TEXT NOT NULL,
    version BIGINT,
    event_id TEXT,
    event_type TEXT,
    source TEXT,
    changed_at TIMESTAMP,
    data TEXT
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
    'key' 'subscription_id,event_id',
    'column.subscription_id' 'data.productId',
    'column.version' 'entityversion',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.source' 'source',
    'column.changed_at' 'time',
    'column.data' 'data'
);
