-- What the rating system of the operator says a usage record costs, to compare with what rated_usage says.
--
-- Key: usage_id. In: usage.guided.*, usage.rated.*, usage.rerated.*. A late event changes nothing where a greater version is
-- known; a rerated record is the next version.
CREATE EXTERNAL TABLE rated_states (
    usage_id TEXT NOT NULL,
    status TEXT,
    price_id TEXT,
    bucket TEXT,
    amount DECIMAL(18, 6),
    currency TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.usage.guided.*, com.example.bss.usage.rated.*, com.example.bss.usage.rerated.*,
    UsageStateChangeEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'usage_id',
    'version' 'version',
    'column.usage_id' 'data.usageId',
    'column.price_id' 'data.ratedProductUsage.priceId',
    'column.bucket' 'data.ratedProductUsage.bucket',
    'column.amount' 'data.ratedProductUsage.amount.value',
    'column.currency' 'data.ratedProductUsage.amount.unit',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
