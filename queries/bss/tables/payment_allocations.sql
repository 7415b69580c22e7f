-- Which bills each step of a payment is for, where it is for several: one row per element of billAllocations. A payment that
-- names a billId is for that bill as a whole, whatever stands here.
--
-- Key of the event: payment_id, event_type, state; of the row: with line_number. In: payment.*. When a step is stated again,
-- all its rows are replaced.
CREATE EXTERNAL TABLE payment_allocations (
    payment_id TEXT NOT NULL,
    event_type TEXT,
    state TEXT,
    line_number BIGINT,
    account_id TEXT,
    whole_bill_id TEXT,
    bill_id TEXT,
    amount DECIMAL(14, 2),
    currency TEXT,
    version BIGINT
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.payment.*, PaymentCreateEvent, PaymentAttributeValueChangeEvent,
    PaymentStateChangeEvent, PaymentDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'payment_id,event_type,state',
    'version' 'version',
    'each' 'data.billAllocations',
    'column.payment_id' 'data.paymentId',
    'column.event_type' 'type',
    'column.line_number' 'ordinal',
    'column.account_id' 'data.accountId',
    'column.whole_bill_id' 'data.billId',
    'column.bill_id' 'item.billId',
    'column.amount' 'item.amount',
    'column.currency' 'data.amount.unit',
    'column.version' 'entityversion'
);
