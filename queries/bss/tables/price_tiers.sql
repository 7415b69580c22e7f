-- The steps of graduated and volume prices: a tier reaches from the one before (not counted) up to up_to (counted).
--
-- Key of the event: price_id, price_version; of the row: with tier. In: productOfferingPrice.*. When a price is stated again,
-- all its tiers are replaced. The last tier has no up_to.
CREATE EXTERNAL TABLE price_tiers (
    price_id TEXT NOT NULL,
    price_version BIGINT,
    tier BIGINT,
    up_to DECIMAL(18, 3),
    unit_price DECIMAL(18, 6),
    flat_fee DECIMAL(14, 2),
    version BIGINT
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.productOfferingPrice.*, ProductOfferingPriceCreateEvent,
    ProductOfferingPriceAttributeValueChangeEvent, ProductOfferingPriceStateChangeEvent,
    ProductOfferingPriceDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'price_id,price_version',
    'version' 'version',
    'each' 'data.tiers',
    'column.price_id' 'data.priceId',
    'column.price_version' 'data.version',
    'column.tier' 'ordinal',
    'column.up_to' 'item.upTo',
    'column.unit_price' 'item.unitPrice',
    'column.flat_fee' 'item.flatFee',
    'column.version' 'entityversion'
);
