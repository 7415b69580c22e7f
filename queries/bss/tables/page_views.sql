-- Pages of the shop that were viewed; customer_id is NULL for visitors who are not known.
--
-- One row per event of pageView.recorded.*. A late view counts at the time when it happened. Views are facts: they are neither
-- corrected nor cancelled.
CREATE EXTERNAL TABLE page_views (
    event_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    anonymous_id TEXT,
    customer_id TEXT,
    url TEXT,
    referrer TEXT,
    offering_id TEXT,
    device TEXT,
    milliseconds BIGINT,
    viewed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.pageView.recorded.*'
OPTIONS (
    'mode' 'append',
    'column.event_id' 'id',
    'column.session_id' 'data.sessionId',
    'column.anonymous_id' 'data.anonymousId',
    'column.customer_id' 'data.customerId',
    'column.offering_id' 'data.offeringId',
    'column.viewed_at' 'time'
);
