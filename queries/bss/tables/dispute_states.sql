-- Bills that customers contest.
--
-- Key: dispute_id. In: dispute.* (opened, resolved), each with the whole dispute. A late event changes nothing where a greater
-- version is known; a correction is the next version; a resolved dispute stays, with that state.
CREATE EXTERNAL TABLE dispute_states (
    dispute_id TEXT NOT NULL,
    bill_id TEXT,
    account_id TEXT,
    customer_id TEXT,
    state TEXT,
    reason TEXT,
    amount DECIMAL(14, 2),
    currency TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.dispute.*'
OPTIONS (
    'mode' 'latest',
    'key' 'dispute_id',
    'version' 'version',
    'column.dispute_id' 'data.disputeId',
    'column.bill_id' 'data.billId',
    'column.account_id' 'data.accountId',
    'column.customer_id' 'data.customerId',
    'column.amount' 'data.amount.value',
    'column.currency' 'data.amount.unit',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
