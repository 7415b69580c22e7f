-- What was said of each payment, version by version, with the whole statement.
--
-- Key: payment_id, event_id. In: the events of payment_states with their data as it came. A late version adds its row; an event
-- sent twice stands once. Nothing here is taken back: a correction and a cancellation are versions too. What commands of the
-- HTTP API begin from, and what /payments/{id}/history shows.
CREATE EXTERNAL TABLE payment_versions (
    payment_id TEXT NOT NULL,
    version BIGINT,
    event_id TEXT,
    event_type TEXT,
    source TEXT,
    changed_at TIMESTAMP,
    data TEXT
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.payment.*, PaymentCreateEvent, PaymentAttributeValueChangeEvent,
    PaymentStateChangeEvent, PaymentDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'payment_id,event_id',
    'column.payment_id' 'data.paymentId',
    'column.version' 'entityversion',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.source' 'source',
    'column.changed_at' 'time',
    'column.data' 'data'
);
