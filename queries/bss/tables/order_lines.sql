-- The positions of each order, as its latest event states them: one row per element of `items`.
--
-- Key of the event: order_id; of the row: order_id, line_number. In: productOrder.*. When an order is stated again, all its
-- positions are replaced. Those of a cancelled order stay: join order_states for the state.
CREATE EXTERNAL TABLE order_lines (
    order_id TEXT NOT NULL,
    line_number BIGINT,
    item_id BIGINT,
    action TEXT,
    offering_id TEXT,
    product_id TEXT,
    quantity BIGINT,
    unit_price DECIMAL(14, 2),
    discount DECIMAL(14, 2),
    currency TEXT,
    state TEXT,
    version BIGINT
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.productOrder.*, ProductOrderCreateEvent, ProductOrderAttributeValueChangeEvent,
    ProductOrderStateChangeEvent, ProductOrderDeleteEvent, ProductOrderInformationRequiredEvent,
    CancelProductOrderCreateEvent, CancelProductOrderStateChangeEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'order_id',
    'version' 'version',
    'each' 'data.items',
    'column.order_id' 'data.orderId',
    'column.line_number' 'ordinal',
    'column.item_id' 'item.itemId',
    'column.action' 'item.action',
    'column.offering_id' 'item.offeringId',
    'column.product_id' 'item.productId',
    'column.quantity' 'item.qty',
    'column.unit_price' 'item.unitPrice.value',
    'column.discount' 'item.discount.value',
    'column.currency' 'item.unitPrice.unit',
    'column.state' 'item.state',
    'column.version' 'entityversion'
);
