-- What subscriptions used, as the network reported it.
--
-- One row per event of com.example.bss.usage.received.*. A late record counts at the time when the usage began. Records are facts:
-- they are neither corrected nor cancelled here.
CREATE EXTERNAL TABLE usage_records (
    usage_id TEXT NOT NULL,
    subscription_id TEXT,
    customer_id TEXT,
    usage_type TEXT,
    volume DECIMAL(18, 2),
    units TEXT,
    used_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.usage.received.*'
OPTIONS (
    'mode' 'append',
    'column.usage_id' 'data.usageId',
    'column.subscription_id' 'data.productId',
    'column.customer_id' 'data.customerId',
    'column.usage_type' 'data.usageType',
    'column.volume' 'data.volume.amount',
    'column.units' 'data.volume.units',
    'column.used_at' 'time'
);
