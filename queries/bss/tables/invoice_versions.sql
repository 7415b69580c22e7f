-- What was said of each bill, version by version, with the whole statement.
--
-- Key: bill_id, event_id. In: the events of bill_states with their data as it came. A late version adds its row; an event
-- sent twice stands once. Nothing here is taken back: a correction and a cancellation are versions too. What commands of the
-- HTTP API begin from, and what /invoices/{id}/history shows.
CREATE EXTERNAL TABLE invoice_versions (
    bill_id TEXT NOT NULL,
    version BIGINT,
    event_id TEXT,
    event_type TEXT,
    source TEXT,
    changed_at TIMESTAMP,
    data TEXT
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.customerBill.*, CustomerBillCreateEvent, CustomerBillAttributeValueChangeEvent,
    CustomerBillStateChangeEvent, CustomerBillDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'bill_id,event_id',
    'column.bill_id' 'data.billId',
    'column.version' 'entityversion',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.source' 'source',
    'column.changed_at' 'time',
    'column.data' 'data'
);
