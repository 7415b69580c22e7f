-- What the payment system says about each payment.
--
-- Key: payment_id. In: payment.* (pendingAuthorization, authorized, captured, settled, failed, denied, canceled, chargedBack,
-- representmentWon), each with the payment's whole state. A late event changes nothing where a greater version is known. A
-- failed payment stays, with state 'failed'; trying again is another payment that names it in retry_of.
CREATE EXTERNAL TABLE payment_states (
    payment_id TEXT NOT NULL,
    account_id TEXT,
    customer_id TEXT,
    bill_id TEXT,
    order_id TEXT,
    state TEXT,
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
    error_code TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.payment.*, PaymentCreateEvent, PaymentAttributeValueChangeEvent,
    PaymentStateChangeEvent, PaymentDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'payment_id',
    'version' 'version',
    'column.payment_id' 'data.paymentId',
    'column.account_id' 'data.accountId',
    'column.customer_id' 'data.customerId',
    'column.bill_id' 'data.billId',
    'column.order_id' 'data.orderId',
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
    'column.error_code' 'data.errorCode',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
