-- The tree of what is sold.
--
-- Key: category_id. In: category.*, each with the whole category. A late event changes nothing where a greater version is
-- known; a correction is the next version; a retired category stays, with that state.
CREATE EXTERNAL TABLE categories (
    category_id TEXT NOT NULL,
    name TEXT,
    parent_id TEXT,
    lifecycle TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.category.*, CategoryCreateEvent, CategoryAttributeValueChangeEvent,
    CategoryStateChangeEvent, CategoryDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'category_id',
    'version' 'version',
    'column.category_id' 'data.categoryId',
    'column.parent_id' 'data.parentId',
    'column.lifecycle' 'data.lifecycleStatus',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
