-- Credit notes that had no bill when they were issued, put against one.
--
-- Key: application_id. In: creditNote.applied.*. A late one counts once it is known; a corrected one is the next version, with
-- amount 0 where it is taken back.
CREATE EXTERNAL TABLE credit_applications (
    application_id TEXT NOT NULL,
    credit_note_id TEXT,
    bill_id TEXT,
    account_id TEXT,
    amount DECIMAL(14, 2),
    currency TEXT,
    version BIGINT,
    applied_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.creditNote.applied.*'
OPTIONS (
    'mode' 'latest',
    'key' 'application_id',
    'version' 'version',
    'column.application_id' 'data.applicationId',
    'column.credit_note_id' 'data.creditNoteId',
    'column.bill_id' 'data.billId',
    'column.account_id' 'data.accountId',
    'column.amount' 'data.amount.value',
    'column.currency' 'data.amount.unit',
    'column.version' 'entityversion',
    'column.applied_at' 'time'
);
