-- Every version of a service with the subscription it realised and the time from which that holds.
--
-- Key: service_id, version. In: service.*. A late or back-dated version adds its row and splits what held at its time; one
-- that names another event in supersedes takes that one back.
CREATE EXTERNAL TABLE service_history (
    service_id TEXT NOT NULL,
    subscription_id TEXT,
    state TEXT,
    effective_at TIMESTAMP,
    event_id TEXT,
    supersedes TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.service.*, ServiceCreateEvent, ServiceAttributeValueChangeEvent,
    ServiceStateChangeEvent, ServiceDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'service_id,version',
    'column.service_id' 'data.serviceId',
    'column.subscription_id' 'data.productId',
    'column.effective_at' 'data.effectiveAt',
    'column.event_id' 'id',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
