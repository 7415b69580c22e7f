-- Every attempt to pay, whatever became of it.
--
-- One row per event of payment.pendingAuthorization.*, the first of each payment. A late attempt counts at the time when it
-- happened. Attempts are facts: they are neither corrected nor cancelled.
CREATE EXTERNAL TABLE payment_attempts (
    payment_id TEXT NOT NULL,
    account_id TEXT,
    customer_id TEXT NOT NULL,
    bill_id TEXT,
    amount DECIMAL(14, 2),
    currency TEXT,
    method TEXT,
    instrument TEXT,
    bin TEXT,
    issuer_country TEXT,
    device_id TEXT,
    ip TEXT,
    latitude DOUBLE PRECISION,
    longitude DOUBLE PRECISION,
    merchant TEXT,
    terminal_id TEXT,
    card_present BOOLEAN,
    attempt BIGINT,
    retry_of TEXT,
    attempted_at TIMESTAMP NOT NULL
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.payment.pendingAuthorization.*, PaymentCreateEvent'
OPTIONS (
    'mode' 'append',
    'column.payment_id' 'data.paymentId',
    'column.account_id' 'data.accountId',
    'column.customer_id' 'data.customerId',
    'column.bill_id' 'data.billId',
    'column.amount' 'data.amount.value',
    'column.currency' 'data.amount.unit',
    'column.instrument' 'data.instrumentToken',
    'column.issuer_country' 'data.issuerCountry',
    'column.device_id' 'data.deviceId',
    'column.latitude' 'data.geo.lat',
    'column.longitude' 'data.geo.lon',
    'column.merchant' 'data.merchantRef',
    'column.terminal_id' 'data.terminalId',
    'column.card_present' 'data.cardPresent',
    'column.retry_of' 'data.retryOf',
    'column.attempted_at' 'time'
);
