-- Attempts to log in, with where they came from; event_type says whether they succeeded.
--
-- One row per event of login.succeeded.* and login.failed.*. A late one counts at the time when it happened. Logins are facts:
-- they are neither corrected nor cancelled.
CREATE EXTERNAL TABLE logins (
    event_id TEXT NOT NULL,
    event_type TEXT,
    customer_id TEXT,
    device_id TEXT,
    ip TEXT,
    asn TEXT,
    country TEXT,
    latitude DOUBLE PRECISION,
    longitude DOUBLE PRECISION,
    accuracy_km DOUBLE PRECISION,
    user_agent TEXT,
    channel TEXT,
    logged_in_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.login.succeeded.*, com.example.bss.login.failed.*'
OPTIONS (
    'mode' 'append',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.customer_id' 'data.customerId',
    'column.device_id' 'data.deviceId',
    'column.latitude' 'data.geo.lat',
    'column.longitude' 'data.geo.lon',
    'column.accuracy_km' 'data.geo.accuracyKm',
    'column.user_agent' 'data.userAgent',
    'column.logged_in_at' 'time'
);
