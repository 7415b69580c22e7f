-- The accounts that are billed: whose they are, in which currency and time zone, and when their periods begin.
--
-- Key: account_id. In: billingAccount.* (created, stateChanged, creditLimitChanged, paymentMethodChanged), each with the
-- account's whole state. A late event changes nothing where a greater version is known; a correction is the next version; a
-- closed account stays, with that state.
CREATE EXTERNAL TABLE billing_accounts (
    account_id TEXT NOT NULL,
    customer_id TEXT,
    currency TEXT,
    time_zone TEXT,
    bill_cycle_day BIGINT,
    payment_terms_days BIGINT,
    credit_limit DECIMAL(14, 2),
    state TEXT,
    payment_status TEXT,
    tax_exempt BOOLEAN,
    tax_rate DECIMAL(5, 4),
    bank_account TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.billingAccount.*, BillingAccountCreateEvent, BillingAccountAttributeValueChangeEvent,
    BillingAccountStateChangeEvent, BillingAccountDeleteEvent, FinancialAccountCreateEvent,
    FinancialAccountAttributeValueChangeEvent, FinancialAccountStateChangeEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'account_id',
    'version' 'version',
    'column.account_id' 'data.accountId',
    'column.customer_id' 'data.customerId',
    'column.time_zone' 'data.timeZone',
    'column.bill_cycle_day' 'data.billCycleDay',
    'column.payment_terms_days' 'data.paymentTermsDays',
    'column.credit_limit' 'data.creditLimit.value',
    'column.payment_status' 'data.paymentStatus',
    'column.tax_exempt' 'data.taxExempt',
    'column.tax_rate' 'data.taxRate',
    'column.bank_account' 'data.bankAccount',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
