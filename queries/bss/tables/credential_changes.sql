-- Changes of what a customer proves to be themselves with: password, mail, phone; and resets of the second factor.
--
-- One row per event of credential.changed.* and mfa.reset.*. A late one counts at the time when it happened. Facts: neither
-- corrected nor cancelled.
CREATE EXTERNAL TABLE credential_changes (
    event_id TEXT NOT NULL,
    event_type TEXT,
    customer_id TEXT,
    device_id TEXT,
    field TEXT,
    channel TEXT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.credential.changed.*, com.example.bss.mfa.reset.*'
OPTIONS (
    'mode' 'append',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.customer_id' 'data.customerId',
    'column.device_id' 'data.deviceId',
    'column.changed_at' 'time'
);
