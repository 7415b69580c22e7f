-- The lines of each bill, as its latest event states them: one row per element of `lines`.
--
-- Key of the event: bill_id; of the row: bill_id, line_number. In: customerBill.*. When a bill is corrected, all its lines are
-- replaced. Those of a voided bill stay with their bill's state, so that views can leave them out.
CREATE EXTERNAL TABLE bill_lines (
    bill_id TEXT NOT NULL,
    line_number BIGINT,
    line_id TEXT,
    account_id TEXT,
    customer_id TEXT,
    bill_state TEXT,
    billed_on DATE,
    voided_on DATE,
    line_type TEXT,
    offering_id TEXT,
    subscription_id TEXT,
    category TEXT,
    quantity DECIMAL(18, 3),
    unit_price DECIMAL(18, 6),
    amount DECIMAL(14, 2),
    tax DECIMAL(14, 2),
    currency TEXT,
    covers_from DATE,
    covers_until DATE,
    price_id TEXT,
    version BIGINT,
    stated_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.customerBill.*, CustomerBillCreateEvent, CustomerBillAttributeValueChangeEvent,
    CustomerBillStateChangeEvent, CustomerBillDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'bill_id',
    'version' 'version',
    'each' 'data.lines',
    'column.bill_id' 'data.billId',
    'column.line_number' 'ordinal',
    'column.line_id' 'item.lineId',
    'column.account_id' 'data.accountId',
    'column.customer_id' 'data.customerId',
    'column.bill_state' 'data.state',
    'column.billed_on' 'data.billDate',
    'column.voided_on' 'data.voidDate',
    'column.line_type' 'item.type',
    'column.offering_id' 'item.offeringId',
    'column.subscription_id' 'item.productId',
    'column.category' 'item.category',
    'column.quantity' 'item.qty',
    'column.unit_price' 'item.unitPrice.value',
    'column.amount' 'item.amount.value',
    'column.tax' 'item.tax.value',
    'column.currency' 'item.amount.unit',
    'column.covers_from' 'item.periodCoverage.start',
    'column.covers_until' 'item.periodCoverage.end',
    'column.price_id' 'item.priceId',
    'column.version' 'entityversion',
    'column.stated_at' 'time'
);
