-- The lines of each credit note, as its latest event states them; ref_bill_id and ref_line_id say which line of a bill they
-- take back.
--
-- Key of the event: credit_note_id; of the row: with line_number. In: creditNote.issued.*, creditNote.voided.*. When a note is
-- stated again, all its lines are replaced; those of a voided one have that state.
CREATE EXTERNAL TABLE credit_note_lines (
    credit_note_id TEXT NOT NULL,
    line_number BIGINT,
    account_id TEXT,
    customer_id TEXT,
    state TEXT,
    issued_on DATE,
    ref_bill_id TEXT,
    ref_line_id TEXT,
    category TEXT,
    amount DECIMAL(14, 2),
    tax DECIMAL(14, 2),
    currency TEXT,
    version BIGINT
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.creditNote.issued.*, com.example.bss.creditNote.voided.*'
OPTIONS (
    'mode' 'latest',
    'key' 'credit_note_id',
    'version' 'version',
    'each' 'data.lines',
    'column.credit_note_id' 'data.creditNoteId',
    'column.line_number' 'ordinal',
    'column.account_id' 'data.accountId',
    'column.customer_id' 'data.customerId',
    'column.issued_on' 'data.issueDate',
    'column.ref_bill_id' 'data.billId',
    'column.ref_line_id' 'item.refLineId',
    'column.category' 'item.category',
    'column.amount' 'item.amount.value',
    'column.tax' 'item.tax.value',
    'column.currency' 'item.amount.unit',
    'column.version' 'entityversion'
);
