-- The price lists: what an offering, or a unit of use, costs from when on.
--
-- Key: price_id, price_version. In: productOfferingPrice.* (created, changed, retired), each with the whole price. A new price
-- is a new price_version with its own validity, so what was priced before keeps its price; a late event changes nothing where
-- a greater version is known. A corrected price is the same price_version stated again with a greater entityversion, and
-- reprices what it priced.
CREATE EXTERNAL TABLE offering_prices (
    price_id TEXT NOT NULL,
    price_version BIGINT,
    offering_id TEXT,
    price_type TEXT,
    model TEXT,
    usage_type TEXT,
    unit_of_measure TEXT,
    unit_price DECIMAL(18, 6),
    package_size DECIMAL(18, 3),
    included DECIMAL(18, 3),
    percentage DECIMAL(9, 4),
    period TEXT,
    currency TEXT,
    region TEXT,
    segment TEXT,
    price_list_id TEXT,
    lifecycle TEXT,
    valid_from TIMESTAMP,
    valid_until TIMESTAMP,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.productOfferingPrice.*, ProductOfferingPriceCreateEvent,
    ProductOfferingPriceAttributeValueChangeEvent, ProductOfferingPriceStateChangeEvent,
    ProductOfferingPriceDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'price_id,price_version',
    'version' 'version',
    'column.price_id' 'data.priceId',
    'column.price_version' 'data.version',
    'column.offering_id' 'data.offeringId',
    'column.price_type' 'data.priceType',
    'column.usage_type' 'data.usageType',
    'column.unit_of_measure' 'data.unitOfMeasure',
    'column.unit_price' 'data.unitPrice.value',
    'column.package_size' 'data.packageSize',
    'column.price_list_id' 'data.priceListId',
    'column.lifecycle' 'data.lifecycleStatus',
    'column.valid_from' 'data.validFor.start',
    'column.valid_until' 'data.validFor.end',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
