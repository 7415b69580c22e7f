-- What customers may use: quotas that come with a product, and money or units they loaded.
--
-- Key: grant_id. In: bucket.granted.*, bucket.topUp.*. Usage burns grants by priority, expiry, time and id. A late event
-- changes nothing where a greater version is known; a corrected grant is the next version; a voided one has state 'voided' and
-- gives nothing. A prepaid amount of money has its currency as unit.
CREATE EXTERNAL TABLE bucket_grants (
    grant_id TEXT NOT NULL,
    bucket_id TEXT,
    account_id TEXT,
    subscription_id TEXT,
    customer_id TEXT,
    unit TEXT,
    amount DECIMAL(18, 3),
    priority BIGINT,
    state TEXT,
    valid_from TIMESTAMP,
    valid_until TIMESTAMP,
    rollover_max DECIMAL(18, 3),
    recurrence TEXT,
    event_type TEXT,
    granted_at TIMESTAMP,
    version BIGINT
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.bucket.granted.*, com.example.bss.bucket.topUp.*, com.example.bss.bucket.voided.*'
OPTIONS (
    'mode' 'latest',
    'key' 'grant_id',
    'version' 'version',
    'column.grant_id' 'data.grantId',
    'column.bucket_id' 'data.bucketId',
    'column.account_id' 'data.accountId',
    'column.subscription_id' 'data.productId',
    'column.customer_id' 'data.customerId',
    'column.valid_from' 'data.validFor.start',
    'column.valid_until' 'data.validFor.end',
    'column.rollover_max' 'data.rollover.max',
    'column.event_type' 'type',
    'column.granted_at' 'time',
    'column.version' 'entityversion'
);
