-- What turned out about each payment, seven days after it.
--
-- One row per event of com.example.bss.fraudLabel.confirmed.*; known_at is when it was known, and no rule may use it before.
CREATE EXTERNAL TABLE labels (
    payment_id TEXT NOT NULL,
    is_fraud BOOLEAN NOT NULL,
    known_at TIMESTAMP NOT NULL
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.fraudLabel.confirmed.*'
OPTIONS (
    'mode' 'append',
    'column.payment_id' 'data.paymentId',
    'column.is_fraud' 'data.isFraud',
    'column.known_at' 'time'
);
