-- Which bills a refund opens again: one row per element of billAllocations.
--
-- Key of the event: refund_id; of the row: with line_number. In: refund.*. When a refund is stated again, all its rows are
-- replaced.
CREATE EXTERNAL TABLE refund_allocations (
    refund_id TEXT NOT NULL,
    line_number BIGINT,
    account_id TEXT,
    state TEXT,
    bill_id TEXT,
    amount DECIMAL(14, 2),
    currency TEXT,
    version BIGINT
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.refund.*, RefundCreateEvent, RefundAttributeValueChangeEvent, RefundStateChangeEvent,
    RefundDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'refund_id',
    'version' 'version',
    'each' 'data.billAllocations',
    'column.refund_id' 'data.refundId',
    'column.line_number' 'ordinal',
    'column.account_id' 'data.accountId',
    'column.bill_id' 'item.billId',
    'column.amount' 'item.amount',
    'column.currency' 'data.amount.unit',
    'column.version' 'entityversion'
);
