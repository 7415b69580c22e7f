-- What the payment system says about each payment.
--
-- Key: payment_id. In: com.example.bss.payment.* (pendingAuthorization, authorized, captured, settled, failed), each with the
-- payment's whole state. A late event changes nothing where a greater version is known. A failed payment stays, with state
-- 'failed'; trying again is another payment that names it in retry_of.
CREATE EXTERNAL TABLE payment_states (
    payment_id TEXT NOT NULL,
    customer_id TEXT,
    bill_id TEXT,
    state TEXT,
    amount DECIMAL(14, 2),
    currency TEXT,
    method TEXT,
    instrument TEXT,
    attempt BIGINT,
    retry_of TEXT,
    error_code TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.payment.*'
OPTIONS (
    'mode' 'latest',
    'key' 'payment_id',
    'version' 'version',
    'column.payment_id' 'data.paymentId',
    'column.customer_id' 'data.customerId',
    'column.bill_id' 'data.billId',
    'column.amount' 'data.amount.value',
    'column.currency' 'data.amount.unit',
    'column.instrument' 'data.instrumentToken',
    'column.retry_of' 'data.retryOf',
    'column.error_code' 'data.errorCode',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
