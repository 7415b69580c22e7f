-- What the billing system says about each bill.
--
-- Key: bill_id. In: com.example.bss.customerBill.* (created, stateChanged, voided), each with the bill's whole state. A late
-- event changes nothing where a greater version is known; a corrected bill is the next version; a voided bill stays, with
-- state 'voided', and counts for nothing.
CREATE EXTERNAL TABLE bill_states (
    bill_id TEXT NOT NULL,
    bill_number TEXT,
    customer_id TEXT,
    order_id TEXT,
    state TEXT,
    billed_on DATE,
    due_on DATE,
    net DECIMAL(14, 2),
    gross DECIMAL(14, 2),
    currency TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.customerBill.*'
OPTIONS (
    'mode' 'latest',
    'key' 'bill_id',
    'version' 'version',
    'column.bill_id' 'data.billId',
    'column.bill_number' 'data.billNo',
    'column.customer_id' 'data.customerId',
    'column.order_id' 'data.orderId',
    'column.billed_on' 'data.billDate',
    'column.due_on' 'data.paymentDueDate',
    'column.net' 'data.taxExcluded.value',
    'column.gross' 'data.taxIncluded.value',
    'column.currency' 'data.taxIncluded.unit',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
