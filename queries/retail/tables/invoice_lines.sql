-- One row for each item of each customer document: bills, credit notes, billing and stock adjustments.
CREATE EXTERNAL TABLE invoice_lines (
  document TEXT NOT NULL,
  customer TEXT,
  country TEXT,
  time TIMESTAMP NOT NULL,
  product TEXT,
  quantity INT NOT NULL,
  unit_price DECIMAL(18, 3) NOT NULL
)
STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.customerBill.*,com.example.bss.creditNote.*,com.example.bss.billingAdjustment.*,com.example.bss.stockAdjustment.*'
OPTIONS (
  'each' 'data.items',
  'column.document' 'data.documentId',
  'column.customer' 'data.customerId',
  'column.country' 'data.country',
  'column.time' 'time',
  'column.product' 'item.productId',
  'column.quantity' 'item.quantity',
  'column.unit_price' 'item.unitPrice'
);
