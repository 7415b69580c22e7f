-- Every event as it came in: what data quality, lateness and reconciliation are judged by.
--
-- One row per event of com.example.bss.*, the TM Forum names left out. A late event has a recorded_at well after its
-- happened_at. Nothing corrects the fact that it came.
CREATE EXTERNAL TABLE event_arrivals (
    event_id TEXT NOT NULL,
    event_type TEXT,
    source TEXT,
    subject TEXT,
    customer_id TEXT,
    happened_at TIMESTAMP,
    recorded_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.*'
OPTIONS (
    'mode' 'append',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.source' 'source',
    'column.subject' 'subject',
    'column.customer_id' 'data.customerId',
    'column.happened_at' 'time',
    'column.recorded_at' 'recordedtime'
);
