-- Every attempt to pay, whatever became of it.
--
-- One row per event of com.example.bss.payment.pendingAuthorization.*, the first of each payment. A late attempt counts at the
-- time when it happened. Attempts are facts: they are neither corrected nor cancelled.
CREATE EXTERNAL TABLE payment_attempts (
    payment_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    bill_id TEXT,
    amount DECIMAL(14, 2),
    currency TEXT,
    method TEXT,
    instrument TEXT,
    attempted_at TIMESTAMP NOT NULL
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.payment.pendingAuthorization.*'
OPTIONS (
    'mode' 'append',
    'column.payment_id' 'data.paymentId',
    'column.customer_id' 'data.customerId',
    'column.bill_id' 'data.billId',
    'column.amount' 'data.amount.value',
    'column.currency' 'data.amount.unit',
    'column.instrument' 'data.instrumentToken',
    'column.attempted_at' 'time'
);
