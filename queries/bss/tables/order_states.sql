-- What the order system says about each order.
--
-- Key: order_id. In: productOrder.* (created, stateChanged, amended, cancelled, completed), each with the order's whole state.
-- A late event changes nothing where a greater version is known; an amended order is the next version; a cancelled order
-- stays, with state 'cancelled'.
CREATE EXTERNAL TABLE order_states (
    order_id TEXT NOT NULL,
    external_id TEXT,
    customer_id TEXT,
    account_id TEXT,
    channel TEXT,
    country TEXT,
    state TEXT,
    ordered_at TIMESTAMP,
    requested_at TIMESTAMP,
    net DECIMAL(14, 2),
    tax DECIMAL(14, 2),
    gross DECIMAL(14, 2),
    currency TEXT,
    cancellation_reason TEXT,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.productOrder.*, ProductOrderCreateEvent, ProductOrderAttributeValueChangeEvent,
    ProductOrderStateChangeEvent, ProductOrderDeleteEvent, ProductOrderInformationRequiredEvent,
    CancelProductOrderCreateEvent, CancelProductOrderStateChangeEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'order_id',
    'version' 'version',
    'column.order_id' 'data.orderId',
    'column.external_id' 'data.externalId',
    'column.customer_id' 'data.customerId',
    'column.account_id' 'data.accountId',
    'column.country' 'data.region',
    'column.ordered_at' 'data.orderDate',
    'column.requested_at' 'data.requestedStart',
    'column.net' 'data.totals.net.value',
    'column.tax' 'data.totals.tax.value',
    'column.gross' 'data.totals.gross.value',
    'column.currency' 'data.totals.gross.unit',
    'column.cancellation_reason' 'data.cancellationReason',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
