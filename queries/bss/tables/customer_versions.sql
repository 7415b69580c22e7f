-- What was said of each customer, version by version, with the whole statement.
--
-- Key: customer_id, event_id. In: the events of customer_states with their data as it came. A late version adds its row; an event
-- sent twice stands once. Nothing here is taken back: a correction and a cancellation are versions too. What commands of the
-- HTTP API begin from, and what /customers/{id}/history shows.
CREATE EXTERNAL TABLE customer_versions (
    customer_id TEXT NOT NULL,
    version BIGINT,
    event_id TEXT,
    event_type TEXT,
    source TEXT,
    changed_at TIMESTAMP,
    data TEXT
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.customer.*, CustomerCreateEvent, CustomerAttributeValueChangeEvent,
    CustomerStateChangeEvent, CustomerDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'customer_id,event_id',
    'column.customer_id' 'data.customerId',
    'column.version' 'entityversion',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.source' 'source',
    'column.changed_at' 'time',
    'column.data' 'data'
);
