-- The steps by which a service is brought about, with each try and how it ended.
--
-- One row per event of provisioning.* (stepStarted, stepCompleted, stepFailed, rolledBack). A late one counts at the time when
-- it happened. Facts: neither corrected nor cancelled.
CREATE EXTERNAL TABLE provisioning_steps (
    event_id TEXT NOT NULL,
    event_type TEXT,
    service_order_id TEXT,
    service_id TEXT,
    step TEXT,
    attempt BIGINT,
    target TEXT,
    error_code TEXT,
    duration_ms BIGINT,
    sla_due TIMESTAMP,
    happened_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.provisioning.*'
OPTIONS (
    'mode' 'append',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.service_order_id' 'data.serviceOrderId',
    'column.service_id' 'data.serviceId',
    'column.error_code' 'data.errorCode',
    'column.duration_ms' 'data.durationMs',
    'column.sla_due' 'data.slaDue',
    'column.happened_at' 'time'
);
