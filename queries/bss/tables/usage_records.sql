-- What subscriptions used, as the network reported it.
--
-- One row per event of usage.received.*. A late record counts at the time when the usage began. Records are facts: what sets
-- them right is in usage_corrections, what takes them back in usage_verdicts; the view usage puts the three together.
CREATE EXTERNAL TABLE usage_records (
    event_id TEXT,
    source TEXT,
    usage_id TEXT NOT NULL,
    subscription_id TEXT,
    customer_id TEXT,
    account_id TEXT,
    usage_type TEXT,
    volume DECIMAL(18, 3),
    units TEXT,
    duration_s DECIMAL(18, 3),
    msisdn TEXT,
    imsi TEXT,
    imei TEXT,
    a_party TEXT,
    b_party TEXT,
    b_country TEXT,
    b_number_type TEXT,
    direction TEXT,
    cell_id TEXT,
    latitude DOUBLE PRECISION,
    longitude DOUBLE PRECISION,
    roaming_network TEXT,
    network_record_id TEXT,
    recorded_at TIMESTAMP,
    used_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.usage.received.*, UsageCreateEvent'
OPTIONS (
    'mode' 'append',
    'column.event_id' 'id',
    'column.source' 'source',
    'column.usage_id' 'data.usageId',
    'column.subscription_id' 'data.productId',
    'column.customer_id' 'data.customerId',
    'column.account_id' 'data.accountId',
    'column.usage_type' 'data.usageType',
    'column.volume' 'data.volume.amount',
    'column.units' 'data.volume.units',
    'column.duration_s' 'data.duration.amount',
    'column.a_party' 'data.aParty',
    'column.b_party' 'data.bParty',
    'column.b_country' 'data.bCountry',
    'column.b_number_type' 'data.bNumberType',
    'column.cell_id' 'data.cellId',
    'column.latitude' 'data.geo.lat',
    'column.longitude' 'data.geo.lon',
    'column.roaming_network' 'data.roamingPlmn',
    'column.network_record_id' 'data.networkRecordId',
    'column.recorded_at' 'recordedtime',
    'column.used_at' 'time'
);
