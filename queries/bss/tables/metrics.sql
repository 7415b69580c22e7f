-- Measurements of systems and of the business.
--
-- One row per event of metric.recorded.*. A late one counts at the time when it was taken. Facts: a wrong one is taken back by
-- fact_voids.
CREATE EXTERNAL TABLE metrics (
    event_id TEXT NOT NULL,
    metric_name TEXT,
    resource_id TEXT,
    region TEXT,
    value DECIMAL(20, 6),
    unit TEXT,
    measured_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.metric.recorded.*'
OPTIONS (
    'mode' 'append',
    'column.event_id' 'id',
    'column.metric_name' 'data.metricName',
    'column.resource_id' 'data.resourceId',
    'column.measured_at' 'time'
);
