-- What sets usage records right: the fields that changed, and what they ought to be. The others are NULL.
--
-- Key: usage_id, version. In: usage.corrected.*. Each further correction of a record is the next entityversion; where two
-- speak of one field, the greater version counts, however late it comes.
CREATE EXTERNAL TABLE usage_corrections (
    event_id TEXT,
    usage_id TEXT NOT NULL,
    supersedes TEXT,
    volume DECIMAL(18, 3),
    duration_s DECIMAL(18, 3),
    msisdn TEXT,
    subscription_id TEXT,
    usage_type TEXT,
    b_country TEXT,
    started_at TIMESTAMP,
    reason TEXT,
    version BIGINT,
    changed_at TIMESTAMP,
    recorded_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.usage.corrected.*, UsageAttributeValueChangeEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'usage_id,version',
    'column.event_id' 'id',
    'column.usage_id' 'data.usageId',
    'column.volume' 'data.volume.amount',
    'column.duration_s' 'data.duration.amount',
    'column.subscription_id' 'data.productId',
    'column.usage_type' 'data.usageType',
    'column.b_country' 'data.bCountry',
    'column.started_at' 'data.startTime',
    'column.version' 'entityversion',
    'column.changed_at' 'time',
    'column.recorded_at' 'recordedtime'
);
