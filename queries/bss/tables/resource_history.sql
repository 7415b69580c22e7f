-- Every version of a resource with the time from which it holds: who had which number and card when.
--
-- Key: resource_id, version. In: resource.*. A late or back-dated version adds its row and splits what held at its time; one
-- that names another event in supersedes takes that one back.
CREATE EXTERNAL TABLE resource_history (
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
    effective_at TIMESTAMP,
    event_id TEXT,
    event_type TEXT,
    supersedes TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.resource.*, ResourceCreateEvent, ResourceAttributeValueChangeEvent,
    ResourceStateChangeEvent, ResourceDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'resource_id,version',
    'column.resource_id' 'data.resourceId',
    'column.administrative_state' 'data.administrativeState',
    'column.operational_state' 'data.operationalState',
    'column.usage_state' 'data.usageState',
    'column.status' 'data.resourceStatus',
    'column.customer_id' 'data.assignedTo.customerId',
    'column.service_id' 'data.assignedTo.serviceId',
    'column.swapped_from' 'data.swappedFrom',
    'column.dealer_id' 'data.dealerId',
    'column.effective_at' 'data.effectiveAt',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
