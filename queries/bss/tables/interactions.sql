-- What visitors and customers do in the shop: pages, products viewed, searched, added and rated, campaigns clicked. event_type
-- says which.
--
-- One row per event of pageView.*, product.viewed.*, product.searched.*, product.added.*, product.rated.*, campaign.clicked.*.
-- A late one counts at the time when it happened. A `corrected` one comes beside the one it names in supersedes, which
-- fact_voids takes out, as it does voided ones.
CREATE EXTERNAL TABLE interactions (
    event_id TEXT NOT NULL,
    event_type TEXT,
    session_id TEXT,
    anonymous_id TEXT,
    customer_id TEXT,
    offering_id TEXT,
    url TEXT,
    device TEXT,
    milliseconds BIGINT,
    search TEXT,
    rating BIGINT,
    happened_at TIMESTAMP,
    recorded_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.pageView.*, com.example.bss.product.viewed.*, com.example.bss.product.searched.*,
    com.example.bss.product.added.*, com.example.bss.product.rated.*, com.example.bss.campaign.clicked.*,
    PartyInteractionCreateEvent'
OPTIONS (
    'mode' 'append',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.session_id' 'data.sessionId',
    'column.anonymous_id' 'data.anonymousId',
    'column.customer_id' 'data.customerId',
    'column.offering_id' 'data.offeringId',
    'column.happened_at' 'time',
    'column.recorded_at' 'recordedtime'
);
