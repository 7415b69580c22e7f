-- Amounts that are added to a bill (positive) or taken off it (negative) after it was sent.
--
-- Key: adjustment_id. In: billingAdjustment.*. A late event changes nothing where a greater version is known; a corrected
-- adjustment is the next version, with amount 0 where it is taken back.
CREATE EXTERNAL TABLE billing_adjustments (
    adjustment_id TEXT NOT NULL,
    bill_id TEXT,
    account_id TEXT,
    customer_id TEXT,
    category TEXT,
    adjusted_on DATE,
    reason TEXT,
    amount DECIMAL(14, 2),
    currency TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.billingAdjustment.*'
OPTIONS (
    'mode' 'latest',
    'key' 'adjustment_id',
    'version' 'version',
    'column.adjustment_id' 'data.adjustmentId',
    'column.bill_id' 'data.billId',
    'column.account_id' 'data.accountId',
    'column.customer_id' 'data.customerId',
    'column.adjusted_on' 'data.date',
    'column.amount' 'data.amount.value',
    'column.currency' 'data.amount.unit',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
