-- Card payments of Sparkov.
--
-- One row per event of com.example.bss.payment.authorized.*. A late payment counts at the time when it happened. Payments are
-- facts here: the data has neither corrections nor cancellations. The merchant's position is random in this data, so it is left out.
CREATE EXTERNAL TABLE payments (
    payment_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    amount DECIMAL(14, 2) NOT NULL,
    merchant TEXT,
    category TEXT,
    paid_at TIMESTAMP NOT NULL
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.payment.authorized.*'
OPTIONS (
    'mode' 'append',
    'column.payment_id' 'data.paymentId',
    'column.customer_id' 'data.customerId',
    'column.amount' 'data.amount.value',
    'column.merchant' 'data.merchant',
    'column.category' 'data.category',
    'column.paid_at' 'time'
);
