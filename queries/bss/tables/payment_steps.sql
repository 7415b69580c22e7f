-- Each state that a payment was in, with the amount of that step: what was captured, what was charged back.
--
-- Key: payment_id, event_type, state. In: payment.*. The greatest version of a step counts, however late it comes; a corrected
-- step is the same step with a greater version.
CREATE EXTERNAL TABLE payment_steps (
    payment_id TEXT NOT NULL,
    account_id TEXT,
    customer_id TEXT,
    bill_id TEXT,
    order_id TEXT,
    event_type TEXT,
    state TEXT,
    amount DECIMAL(14, 2),
    currency TEXT,
    error_code TEXT,
    reason_code TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.payment.*, PaymentCreateEvent, PaymentAttributeValueChangeEvent,
    PaymentStateChangeEvent, PaymentDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'payment_id,event_type,state',
    'version' 'version',
    'column.payment_id' 'data.paymentId',
    'column.account_id' 'data.accountId',
    'column.customer_id' 'data.customerId',
    'column.bill_id' 'data.billId',
    'column.order_id' 'data.orderId',
    'column.event_type' 'type',
    'column.amount' 'data.amount.value',
    'column.currency' 'data.amount.unit',
    'column.error_code' 'data.errorCode',
    'column.reason_code' 'data.reasonCode',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
