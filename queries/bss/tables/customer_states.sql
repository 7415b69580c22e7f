-- What the CRM says about each customer.
--
-- Key: customer_id. In: com.example.bss.customer.* (created, updated, statusChanged), each with the customer's whole state.
-- A late event changes nothing where a greater version is known; a correction is the next version and takes the place of
-- the one before. Customers are not cancelled: they are suspended or closed, which is a status.
CREATE EXTERNAL TABLE customer_states (
    customer_id TEXT NOT NULL,
    name TEXT,
    party_type TEXT,
    email TEXT,
    segment TEXT,
    risk_class TEXT,
    country TEXT,
    status TEXT,
    created_at TIMESTAMP,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.customer.*'
OPTIONS (
    'mode' 'latest',
    'key' 'customer_id',
    'version' 'version',
    'column.customer_id' 'data.customerId',
    'column.party_type' 'data.partyType',
    'column.risk_class' 'data.riskClass',
    'column.created_at' 'data.createdAt',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
