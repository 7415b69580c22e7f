-- What was said of each product, version by version, with the whole statement.
--
-- Key: offering_id, event_id. In: the events of offering_states with their data as it came. A late version adds its row; an event
-- sent twice stands once. Nothing here is taken back: a correction and a cancellation are versions too. What commands of the
-- HTTP API begin from, and what /products/{id}/history shows.
CREATE EXTERNAL TABLE product_versions (
    offering_id TEXT NOT NULL,
    version BIGINT,
    event_id TEXT,
    event_type TEXT,
    source TEXT,
    changed_at TIMESTAMP,
    data TEXT
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.productOffering.*, ProductOfferingCreateEvent,
    ProductOfferingAttributeValueChangeEvent, ProductOfferingStateChangeEvent,
    ProductOfferingDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'offering_id,event_id',
    'column.offering_id' 'data.offeringId',
    'column.version' 'entityversion',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.source' 'source',
    'column.changed_at' 'time',
    'column.data' 'data'
);
