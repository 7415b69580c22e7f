-- What can be bought: the product catalogue.
--
-- Key: offering_id. In: productOffering.* (created, changed, stateChanged), each with the whole offering. A late event changes
-- nothing where a greater version is known; a correction is the next version; a retired offering stays, with that state.
-- category_path is the list of categories from the root, as JSON.
CREATE EXTERNAL TABLE offering_states (
    offering_id TEXT NOT NULL,
    name TEXT,
    category TEXT,
    category_path TEXT,
    is_bundle BOOLEAN,
    specification_id TEXT,
    lifecycle TEXT,
    region TEXT,
    cost DECIMAL(14, 2),
    list_price DECIMAL(14, 2),
    regulated_floor DECIMAL(14, 2),
    currency TEXT,
    valid_from TIMESTAMP,
    valid_until TIMESTAMP,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.productOffering.*, ProductOfferingCreateEvent,
    ProductOfferingAttributeValueChangeEvent, ProductOfferingStateChangeEvent,
    ProductOfferingDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'offering_id',
    'version' 'version',
    'column.offering_id' 'data.offeringId',
    'column.category_path' 'data.categoryPath',
    'column.is_bundle' 'data.isBundle',
    'column.specification_id' 'data.specId',
    'column.lifecycle' 'data.lifecycleStatus',
    'column.cost' 'data.cost.value',
    'column.list_price' 'data.listPrice.value',
    'column.regulated_floor' 'data.regulatedFloor.value',
    'column.currency' 'data.listPrice.unit',
    'column.valid_from' 'data.validFor.start',
    'column.valid_until' 'data.validFor.end',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
