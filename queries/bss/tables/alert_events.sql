-- When somebody first did something about an alert: each thing that was done.
--
-- One row per event of fraudAlert.* (raised, acknowledged, assigned, resolved). What an alert is now is in alert_states. A late event
-- counts at the time when it happened. Facts: they are not corrected.
CREATE EXTERNAL TABLE alert_events (
    event_id TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    happened_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.fraudAlert.*'
OPTIONS (
    'mode' 'append',
    'column.event_id' 'id',
    'column.alert_id' 'data.alertId',
    'column.happened_at' 'time'
);
