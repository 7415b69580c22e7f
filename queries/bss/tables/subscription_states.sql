-- What the inventory says about each subscription (a product that a customer has).
--
-- Key: subscription_id. In: product.* (created, activated, suspended, resumed, planChanged, renewed, terminateScheduled,
-- terminated, trialStarted, trialEnded, cancelled, aborted), each with the product's whole state. A late event changes nothing
-- where a greater version is known; a terminated subscription stays, with state 'terminated'.
CREATE EXTERNAL TABLE subscription_states (
    subscription_id TEXT NOT NULL,
    customer_id TEXT,
    account_id TEXT,
    offering_id TEXT,
    state TEXT,
    quantity BIGINT,
    recurring_amount DECIMAL(14, 2),
    discount DECIMAL(5, 4),
    currency TEXT,
    billing_period TEXT,
    is_trial BOOLEAN,
    started_at TIMESTAMP,
    term_end TIMESTAMP,
    auto_renew BOOLEAN,
    effective_at TIMESTAMP,
    termination_reason TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.product.created.*, com.example.bss.product.activated.*,
    com.example.bss.product.suspended.*, com.example.bss.product.resumed.*,
    com.example.bss.product.planChanged.*, com.example.bss.product.renewed.*,
    com.example.bss.product.terminateScheduled.*, com.example.bss.product.terminated.*,
    com.example.bss.product.trialStarted.*, com.example.bss.product.trialEnded.*,
    com.example.bss.product.cancelled.*, com.example.bss.product.aborted.*, ProductCreateEvent,
    ProductAttributeValueChangeEvent, ProductStateChangeEvent, ProductBatchEvent, ProductDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'subscription_id',
    'version' 'version',
    'column.subscription_id' 'data.productId',
    'column.customer_id' 'data.customerId',
    'column.account_id' 'data.accountId',
    'column.offering_id' 'data.offeringId',
    'column.quantity' 'data.qty',
    'column.recurring_amount' 'data.recurringAmount.value',
    'column.currency' 'data.recurringAmount.unit',
    'column.billing_period' 'data.billingPeriod',
    'column.is_trial' 'data.isTrial',
    'column.started_at' 'data.startDate',
    'column.term_end' 'data.termEnd',
    'column.auto_renew' 'data.autoRenew',
    'column.effective_at' 'data.effectiveAt',
    'column.termination_reason' 'data.terminationReason',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
