-- What a source says it sent: how many events of a kind on a day, and what they add up to.
--
-- Key: control_id. In: controlTotal.*. A late event changes nothing where a greater version is known; a corrected total is the
-- next version.
CREATE EXTERNAL TABLE control_totals (
    control_id TEXT NOT NULL,
    day DATE,
    kind TEXT,
    currency TEXT,
    events BIGINT,
    amount DECIMAL(18, 2),
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.controlTotal.*'
OPTIONS (
    'mode' 'latest',
    'key' 'control_id',
    'version' 'version',
    'column.control_id' 'data.controlId',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
