-- What the inventory says about each subscription (a product that a customer has).
--
-- Key: subscription_id. In: com.example.bss.product.* (created, activated, terminated), each with the product's whole state. A
-- late event changes nothing where a greater version is known; a terminated subscription stays, with state 'terminated'.
CREATE EXTERNAL TABLE subscription_states (
    subscription_id TEXT NOT NULL,
    customer_id TEXT,
    offering_id TEXT,
    state TEXT,
    recurring_amount DECIMAL(14, 2),
    currency TEXT,
    billing_period TEXT,
    started_at TIMESTAMP,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.product.*'
OPTIONS (
    'mode' 'latest',
    'key' 'subscription_id',
    'version' 'version',
    'column.subscription_id' 'data.productId',
    'column.customer_id' 'data.customerId',
    'column.offering_id' 'data.offeringId',
    'column.recurring_amount' 'data.recurringAmount.value',
    'column.currency' 'data.recurringAmount.unit',
    'column.billing_period' 'data.billingPeriod',
    'column.started_at' 'data.startDate',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
