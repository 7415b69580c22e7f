-- What was said of each service, version by version, with the whole statement.
--
-- Key: service_id, event_id. In: the events of service_states with their data as it came. A late version adds its row; an event
-- sent twice stands once. Nothing here is taken back: a correction and a cancellation are versions too. What commands of the
-- HTTP API begin from, and what /services/{id}/history shows.
CREATE EXTERNAL TABLE service_versions (
    service_id TEXT NOT NULL,
    version BIGINT,
    event_id TEXT,
    event_type TEXT,
    source TEXT,
    changed_at TIMESTAMP,
    data TEXT
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.service.*, ServiceCreateEvent, ServiceAttributeValueChangeEvent,
    ServiceStateChangeEvent, ServiceDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'service_id,event_id',
    'column.service_id' 'data.serviceId',
    'column.version' 'entityversion',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.source' 'source',
    'column.changed_at' 'time',
    'column.data' 'data'
);
