-- SIM cards, numbers and devices: what they are and who has them; cells, and where they stand.
--
-- Key: resource_id. In: resource.* (created, stateChanged, assigned, released, swapped), each with the resource's whole state.
-- A late event changes nothing where a greater version is known; a correction is the next version; a released resource has no
-- assignee.
CREATE EXTERNAL TABLE resource_states (
    resource_id TEXT NOT NULL,
    kind TEXT,
    iccid TEXT,
    imsi TEXT,
    msisdn TEXT,
    imei TEXT,
    administrative_state TEXT,
    operational_state TEXT,
    usage_state TEXT,
    status TEXT,
    customer_id TEXT,
    service_id TEXT,
    swapped_from TEXT,
    reason TEXT,
    dealer_id TEXT,
    latitude DOUBLE PRECISION,
    longitude DOUBLE PRECISION,
    version BIGINT,
    event_type TEXT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.resource.*, ResourceCreateEvent, ResourceAttributeValueChangeEvent,
    ResourceStateChangeEvent, ResourceDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'resource_id',
    'version' 'version',
    'column.resource_id' 'data.resourceId',
    'column.administrative_state' 'data.administrativeState',
    'column.operational_state' 'data.operationalState',
    'column.usage_state' 'data.usageState',
    'column.status' 'data.resourceStatus',
    'column.customer_id' 'data.assignedTo.customerId',
    'column.service_id' 'data.assignedTo.serviceId',
    'column.swapped_from' 'data.swappedFrom',
    'column.dealer_id' 'data.dealerId',
    'column.latitude' 'data.geo.lat',
    'column.longitude' 'data.geo.lon',
    'column.version' 'entityversion',
    'column.event_type' 'type',
    'column.changed_at' 'time'
);
