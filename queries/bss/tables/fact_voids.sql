-- Facts that never were, or were otherwise: each row takes the event that it names out of all views.
--
-- One row per event of any type that ends in voided or corrected and names the id of another in supersedes. However late it
-- comes, the named one ceases to count at the time when it happened. A void is itself taken back by no other: send the fact
-- again under a new id.
CREATE EXTERNAL TABLE fact_voids (
    event_id TEXT NOT NULL,
    supersedes TEXT,
    reason TEXT,
    voided_at TIMESTAMP,
    recorded_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.pageView.voided.*, com.example.bss.pageView.corrected.*,
    com.example.bss.product.voided.*, com.example.bss.interaction.voided.*,
    com.example.bss.bucket.corrected.*, com.example.bss.metric.voided.*,
    com.example.bss.metric.corrected.*, com.example.bss.dunning.voided.*,
    com.example.bss.dunning.corrected.*, com.example.bss.login.voided.*, com.example.bss.fact.voided.*'
OPTIONS (
    'mode' 'append',
    'column.event_id' 'id',
    'column.voided_at' 'time',
    'column.recorded_at' 'recordedtime'
);
