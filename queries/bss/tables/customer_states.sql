-- What the CRM says about each customer.
--
-- Key: customer_id. In: customer.* (created, updated, statusChanged, merged, erased), each with the customer's whole state. A
-- late event changes nothing where a greater version is known; a correction is the next version and takes the place of the one
-- before. Customers are not cancelled: they are suspended or closed, which is a status. A merged one names in merged_into who
-- goes on; an erased one is stated without name, mail and phone, and keeps its id.
CREATE EXTERNAL TABLE customer_states (
    customer_id TEXT NOT NULL,
    name TEXT,
    party_type TEXT,
    email TEXT,
    phone TEXT,
    birth_year BIGINT,
    segment TEXT,
    risk_class TEXT,
    language TEXT,
    country TEXT,
    status TEXT,
    status_reason TEXT,
    merged_into TEXT,
    document_id TEXT,
    created_at TIMESTAMP,
    version BIGINT,
    event_type TEXT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.customer.*, CustomerCreateEvent, CustomerAttributeValueChangeEvent,
    CustomerStateChangeEvent, CustomerDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'customer_id',
    'version' 'version',
    'column.customer_id' 'data.customerId',
    'column.party_type' 'data.partyType',
    'column.birth_year' 'data.birthYear',
    'column.risk_class' 'data.riskClass',
    'column.status_reason' 'data.statusReason',
    'column.merged_into' 'data.mergedInto',
    'column.document_id' 'data.documentId',
    'column.created_at' 'data.createdAt',
    'column.version' 'entityversion',
    'column.event_type' 'type',
    'column.changed_at' 'time'
);
