-- Corrections that belong together, such as a rerun of last month's usage: open, closed or reverted as one.
--
-- Key: batch_id. In: correction.* (batchOpened, closed, reverted), each with the whole batch. A late event changes nothing
-- where a greater version is known.
CREATE EXTERNAL TABLE correction_batches (
    batch_id TEXT NOT NULL,
    scope TEXT,
    state TEXT,
    covers_from TIMESTAMP,
    covers_until TIMESTAMP,
    reason TEXT,
    operator TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.correction.*'
OPTIONS (
    'mode' 'latest',
    'key' 'batch_id',
    'version' 'version',
    'column.batch_id' 'data.batchId',
    'column.covers_from' 'data.from',
    'column.covers_until' 'data.to',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
