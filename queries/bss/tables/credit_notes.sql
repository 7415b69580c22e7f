-- What customers are credited with, for a bill or for none.
--
-- Key: credit_note_id. In: creditNote.issued.*, creditNote.voided.*, each with the whole note. A late event changes nothing
-- where a greater version is known; a corrected note is the next version; a voided one has state 'voided' and counts for
-- nothing. A note with a bill_id lowers that bill; one without waits until creditNote.applied.* says where it goes.
CREATE EXTERNAL TABLE credit_notes (
    credit_note_id TEXT NOT NULL,
    bill_id TEXT,
    account_id TEXT,
    customer_id TEXT,
    state TEXT,
    reason TEXT,
    issued_on DATE,
    amount DECIMAL(14, 2),
    currency TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.creditNote.issued.*, com.example.bss.creditNote.voided.*'
OPTIONS (
    'mode' 'latest',
    'key' 'credit_note_id',
    'version' 'version',
    'column.credit_note_id' 'data.creditNoteId',
    'column.bill_id' 'data.billId',
    'column.account_id' 'data.accountId',
    'column.customer_id' 'data.customerId',
    'column.issued_on' 'data.issueDate',
    'column.amount' 'data.amount.value',
    'column.currency' 'data.amount.unit',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
