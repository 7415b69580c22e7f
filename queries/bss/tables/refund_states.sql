-- Money that goes back to customers.
--
-- Key: refund_id. In: refund.* (requested, authorized, done, failed), each with the refund's whole state. A late event changes
-- nothing where a greater version is known; only one in state 'done' has moved money; a failed one stays and counts for
-- nothing.
CREATE EXTERNAL TABLE refund_states (
    refund_id TEXT NOT NULL,
    payment_id TEXT,
    order_id TEXT,
    account_id TEXT,
    customer_id TEXT,
    state TEXT,
    amount DECIMAL(14, 2),
    currency TEXT,
    reason TEXT,
    requestor TEXT,
    dealer_id TEXT,
    channel TEXT,
    instrument TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.refund.*, RefundCreateEvent, RefundAttributeValueChangeEvent, RefundStateChangeEvent,
    RefundDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'refund_id',
    'version' 'version',
    'column.refund_id' 'data.refundId',
    'column.payment_id' 'data.paymentId',
    'column.order_id' 'data.orderId',
    'column.account_id' 'data.accountId',
    'column.customer_id' 'data.customerId',
    'column.amount' 'data.amount.value',
    'column.currency' 'data.amount.unit',
    'column.dealer_id' 'data.dealerId',
    'column.instrument' 'data.instrumentToken',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
