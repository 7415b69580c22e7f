-- Who and what stands on which list: blocked cards, trusted addresses, high-risk number ranges.
--
-- Key: list_name, entity_key. In: entity.listed.*, entity.unlisted.*. A late event changes nothing where a greater version is
-- known; what is unlisted leaves no row; what expires keeps its row with expires_at in the past.
CREATE EXTERNAL TABLE entity_lists (
    list_name TEXT NOT NULL,
    entity_key TEXT NOT NULL,
    reason TEXT,
    expires_at TIMESTAMP,
    version BIGINT,
    listed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.entity.*'
OPTIONS (
    'mode' 'latest',
    'key' 'list_name,entity_key',
    'version' 'version',
    'delete' 'com.example.bss.entity.unlisted.*',
    'column.list_name' 'data.listName',
    'column.entity_key' 'data.key',
    'column.expires_at' 'data.expiry',
    'column.version' 'entityversion',
    'column.listed_at' 'time'
);
