-- Whether a usage record counts: voided and rejected ones do not; a recycled one does again.
--
-- Key: usage_id. In: usage.voided.*, usage.rejected.*, usage.recycled.*. A late event changes nothing where a greater version
-- is known; a later verdict takes the place of the one before.
CREATE EXTERNAL TABLE usage_verdicts (
    usage_id TEXT NOT NULL,
    event_type TEXT,
    source TEXT,
    reason TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.usage.voided.*, com.example.bss.usage.rejected.*, com.example.bss.usage.recycled.*,
    UsageDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'usage_id',
    'version' 'version',
    'column.source' 'source',
    'column.usage_id' 'data.usageId',
    'column.event_type' 'type',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
