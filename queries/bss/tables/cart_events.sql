-- What goes into baskets and out of them, and offers that were made and taken.
--
-- One row per event of cart.* (itemAdded, itemRemoved, abandoned) and quote.* (created, accepted). A late one counts at the
-- time when it happened. Facts: neither corrected nor cancelled.
CREATE EXTERNAL TABLE cart_events (
    event_id TEXT NOT NULL,
    event_type TEXT,
    cart_id TEXT,
    customer_id TEXT,
    session_id TEXT,
    offering_id TEXT,
    quantity BIGINT,
    happened_at TIMESTAMP,
    recorded_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.cart.*, com.example.bss.quote.*, ShoppingCartCreateEvent,
    ShoppingCartAttributeValueChangeEvent, QuoteCreateEvent, QuoteStateChangeEvent'
OPTIONS (
    'mode' 'append',
    'column.event_id' 'id',
    'column.event_type' 'type',
    'column.cart_id' 'data.cartId',
    'column.customer_id' 'data.customerId',
    'column.session_id' 'data.sessionId',
    'column.offering_id' 'data.offeringId',
    'column.quantity' 'data.qty',
    'column.happened_at' 'time',
    'column.recorded_at' 'recordedtime'
);
