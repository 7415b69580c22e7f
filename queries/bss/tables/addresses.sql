-- Where customers live, are billed and are sent things.
--
-- Key: address_id. In: address.* (added, changed, validated, removed), each with the whole address. A late event changes
-- nothing where a greater version is known; a correction is the next version; a removed address leaves no row. An address
-- holds from valid_from until before valid_until; open ends are NULL.
CREATE EXTERNAL TABLE addresses (
    address_id TEXT NOT NULL,
    customer_id TEXT,
    role TEXT,
    street TEXT,
    city TEXT,
    postcode TEXT,
    state_or_province TEXT,
    country TEXT,
    latitude DOUBLE PRECISION,
    longitude DOUBLE PRECISION,
    valid_from TIMESTAMP,
    valid_until TIMESTAMP,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.address.*, GeographicAddressCreateEvent, GeographicAddressAttributeValueChangeEvent,
    GeographicAddressStateChangeEvent, GeographicAddressDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'address_id',
    'version' 'version',
    'delete' 'com.example.bss.address.removed.*, GeographicAddressDeleteEvent',
    'column.address_id' 'data.addressId',
    'column.customer_id' 'data.customerId',
    'column.state_or_province' 'data.stateOrProvince',
    'column.latitude' 'data.geo.lat',
    'column.longitude' 'data.geo.lon',
    'column.valid_from' 'data.validFor.start',
    'column.valid_until' 'data.validFor.end',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
