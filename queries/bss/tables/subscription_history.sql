-- Every version of a subscription, with the time from which it holds: effectiveAt, else when it happened.
--
-- Key: subscription_id, version. In: product.* as for subscription_states. A late or back-dated version adds its row and
-- splits what held at its time. A version that names another event in supersedes takes that one back, so a revoked termination
-- never was.
CREATE EXTERNAL TABLE subscription_history (
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
    event_id TEXT,
    event_type TEXT,
    supersedes TEXT,
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
    'key' 'subscription_id,version',
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
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
