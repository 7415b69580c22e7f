-- What people did about alerts: acknowledged, assigned, resolved, with what they found.
--
-- Key: alert_id. In: fraudAlert.* (raised, acknowledged, assigned, resolved), each with the alert's whole state. A late event
-- changes nothing where a greater version is known; a correction is the next version.
CREATE EXTERNAL TABLE alert_states (
    alert_id TEXT NOT NULL,
    rule_id TEXT,
    rule_version BIGINT,
    pivot TEXT,
    state TEXT,
    score DECIMAL(9, 4),
    outcome TEXT,
    disposition TEXT,
    assignee TEXT,
    snoozed_until TIMESTAMP,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.fraudAlert.*'
OPTIONS (
    'mode' 'latest',
    'key' 'alert_id',
    'version' 'version',
    'column.alert_id' 'data.alertId',
    'column.rule_id' 'data.ruleId',
    'column.rule_version' 'data.ruleVersion',
    'column.snoozed_until' 'data.snoozedUntil',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
