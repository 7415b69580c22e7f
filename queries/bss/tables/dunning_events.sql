-- What collections did about an account: steps taken, promises to pay, amounts given up.
--
-- One row per event of dunning.* (stepTriggered, promiseToPay, writtenOff). A late one counts at the time when it happened.
-- Facts: a wrong one is taken back by fact_voids.
CREATE EXTERNAL TABLE dunning_events (
    event_id TEXT NOT NULL,
    event_type TEXT,
    account_id TEXT,
    customer_id TEXT,
    bill_id TEXT,
    stage TEXT,
    action TEXT,
    amount DECIMAL(14, 2),
    currency TEXT,
    promised_until DATE,
    happened_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.dunning.*'
OPTIONS (
    'mode' 'append',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.account_id' 'data.accountId',
    'column.customer_id' 'data.customerId',
    'column.bill_id' 'data.billId',
    'column.amount' 'data.amount.value',
    'column.currency' 'data.amount.unit',
    'column.promised_until' 'data.promisedUntil',
    'column.happened_at' 'time'
);
