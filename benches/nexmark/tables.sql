-- The streams of Nexmark. p_time is when a bid came in, for the query that asks for processing time.
CREATE EXTERNAL TABLE person (id BIGINT NOT NULL, name TEXT, email_address TEXT, credit_card TEXT, city TEXT, state TEXT, date_time TIMESTAMP(3), extra TEXT)
STORED AS CLOUDEVENTS LOCATION 'nexmark.person'
OPTIONS ('column.id' 'data.id', 'column.name' 'data.name', 'column.email_address' 'data.email_address', 'column.credit_card' 'data.credit_card', 'column.city' 'data.city', 'column.state' 'data.state', 'column.date_time' 'data.date_time', 'column.extra' 'data.extra');

CREATE EXTERNAL TABLE auction (id BIGINT NOT NULL, item_name TEXT, description TEXT, initial_bid BIGINT, reserve BIGINT, date_time TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra TEXT)
STORED AS CLOUDEVENTS LOCATION 'nexmark.auction'
OPTIONS ('column.id' 'data.id', 'column.item_name' 'data.item_name', 'column.description' 'data.description', 'column.initial_bid' 'data.initial_bid', 'column.reserve' 'data.reserve', 'column.date_time' 'data.date_time', 'column.expires' 'data.expires', 'column.seller' 'data.seller', 'column.category' 'data.category', 'column.extra' 'data.extra');

CREATE EXTERNAL TABLE bid (auction BIGINT NOT NULL, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, date_time TIMESTAMP(3), p_time TIMESTAMP(3), extra TEXT)
STORED AS CLOUDEVENTS LOCATION 'nexmark.bid'
OPTIONS ('column.auction' 'data.auction', 'column.bidder' 'data.bidder', 'column.price' 'data.price', 'column.channel' 'data.channel', 'column.url' 'data.url', 'column.date_time' 'data.date_time', 'column.p_time' 'data.p_time', 'column.extra' 'data.extra');

-- Ten thousand rows that never change.
CREATE EXTERNAL TABLE side_input (key BIGINT NOT NULL, value TEXT)
STORED AS CLOUDEVENTS LOCATION 'nexmark.side_input' OPTIONS ('column.key' 'data.key', 'column.value' 'data.value');
