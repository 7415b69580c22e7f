-- Charges that are not on a bill yet, and those that were adjusted (TM Forum: applied customer billing rates).
--
-- Key: rate_id. In: appliedBillingRate.* (created, adjusted), each with the whole charge. A late event changes nothing where a
-- greater version is known; an adjusted charge is the next version; one that is on a bill names it.
CREATE EXTERNAL TABLE applied_rates (
    rate_id TEXT NOT NULL,
    account_id TEXT,
    customer_id TEXT,
    bill_id TEXT,
    rate_type TEXT,
    description TEXT,
    charged_on DATE,
    amount DECIMAL(14, 2),
    tax DECIMAL(14, 2),
    currency TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.appliedBillingRate.*, AppliedCustomerBillingRateCreateEvent,
    AppliedCustomerBillingRateAttributeValueChangeEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'rate_id',
    'version' 'version',
    'column.rate_id' 'data.rateId',
    'column.account_id' 'data.accountId',
    'column.customer_id' 'data.customerId',
    'column.bill_id' 'data.billId',
    'column.rate_type' 'data.type',
    'column.charged_on' 'data.date',
    'column.amount' 'data.amount.value',
    'column.tax' 'data.tax.value',
    'column.currency' 'data.amount.unit',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
