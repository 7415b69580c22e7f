-- What was taken out of buckets by the charging system, and what it let lapse or reset.
--
-- One row per event of bucket.consumed.*, bucket.expired.*, bucket.reset.*. A late one counts at the time when it happened.
-- Facts: a wrong one is taken back by fact_voids.
CREATE EXTERNAL TABLE bucket_uses (
    event_id TEXT NOT NULL,
    event_type TEXT,
    bucket_id TEXT,
    account_id TEXT,
    subscription_id TEXT,
    usage_id TEXT,
    unit TEXT,
    amount DECIMAL(18, 3),
    happened_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.bucket.consumed.*, com.example.bss.bucket.expired.*, com.example.bss.bucket.reset.*'
OPTIONS (
    'mode' 'append',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.bucket_id' 'data.bucketId',
    'column.account_id' 'data.accountId',
    'column.subscription_id' 'data.productId',
    'column.usage_id' 'data.usageId',
    'column.happened_at' 'time'
);
