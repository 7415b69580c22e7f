-- What turned out to be fraud, and when that was known: known_at is the time of the event, not of the fraud.
--
-- Key: label_id. In: fraudLabel.confirmed.*, fraudLabel.revoked.*. A late event changes nothing where a greater version is
-- known; a revoked label stays, with is_fraud false in its event, so that what was known when can be told.
CREATE EXTERNAL TABLE fraud_labels (
    label_id TEXT NOT NULL,
    kind TEXT,
    pivot TEXT,
    payment_id TEXT,
    customer_id TEXT,
    terminal_id TEXT,
    account_id TEXT,
    is_fraud BOOLEAN,
    amount DECIMAL(14, 2),
    happened_at TIMESTAMP,
    event_type TEXT,
    version BIGINT,
    known_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.fraudLabel.*'
OPTIONS (
    'mode' 'latest',
    'key' 'label_id',
    'version' 'version',
    'column.label_id' 'data.labelId',
    'column.payment_id' 'data.paymentId',
    'column.customer_id' 'data.customerId',
    'column.terminal_id' 'data.terminalId',
    'column.account_id' 'data.accountId',
    'column.is_fraud' 'data.isFraud',
    'column.amount' 'data.amount.value',
    'column.happened_at' 'data.happenedAt',
    'column.event_type' 'type',
    'column.version' 'entityversion',
    'column.known_at' 'time'
);
