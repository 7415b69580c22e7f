-- What the billing system says about each bill.
--
-- Key: bill_id. In: customerBill.* (created, stateChanged, voided), each with the bill's whole state. A late event changes
-- nothing where a greater version is known; a corrected bill is the next version; a voided bill stays, with state 'voided',
-- and counts for nothing.
CREATE EXTERNAL TABLE bill_states (
    bill_id TEXT NOT NULL,
    bill_number TEXT,
    account_id TEXT,
    customer_id TEXT,
    order_id TEXT,
    state TEXT,
    run_type TEXT,
    period_start DATE,
    period_end DATE,
    billed_on DATE,
    due_on DATE,
    net DECIMAL(14, 2),
    gross DECIMAL(14, 2),
    currency TEXT,
    voided_on DATE,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.customerBill.*, CustomerBillCreateEvent, CustomerBillAttributeValueChangeEvent,
    CustomerBillStateChangeEvent, CustomerBillDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'bill_id',
    'version' 'version',
    'column.bill_id' 'data.billId',
    'column.bill_number' 'data.billNo',
    'column.account_id' 'data.accountId',
    'column.customer_id' 'data.customerId',
    'column.order_id' 'data.orderId',
    'column.run_type' 'data.runType',
    'column.period_start' 'data.billingPeriod.start',
    'column.period_end' 'data.billingPeriod.end',
    'column.billed_on' 'data.billDate',
    'column.due_on' 'data.paymentDueDate',
    'column.net' 'data.taxExcluded.value',
    'column.gross' 'data.taxIncluded.value',
    'column.currency' 'data.taxIncluded.unit',
    'column.voided_on' 'data.voidDate',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
