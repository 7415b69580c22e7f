//! What is sent: sales and orders of one seed, some of them twice, late, or out of their order.
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;

const MINUTE_MS: i64 = 60_000;
const START_MS: i64 = 1_750_000_000_000;

/// The tables and views that the events are for.
pub const CATALOGUE: [(&str, &str); 8] = [
    (
        "tables/sales",
        "CREATE EXTERNAL TABLE sales (id TEXT, region TEXT, customer BIGINT, amount BIGINT, sold_at TIMESTAMP) STORED AS CLOUDEVENTS \
         LOCATION 'sale' OPTIONS ('mode' 'append', 'column.id' 'id', 'column.region' 'data.region', 'column.customer' 'data.customer', \
         'column.amount' 'data.amount', 'column.sold_at' 'time')",
    ),
    (
        "tables/orders",
        "CREATE EXTERNAL TABLE orders (id TEXT NOT NULL, status TEXT, customer BIGINT, version BIGINT) STORED AS CLOUDEVENTS \
         LOCATION 'order' OPTIONS ('mode' 'latest', 'key' 'id', 'version' 'version', 'column.id' 'data.id', \
         'column.status' 'data.status', 'column.customer' 'data.customer', 'column.version' 'data.version')",
    ),
    (
        "views/totals",
        "CREATE MATERIALIZED VIEW totals AS SELECT region, count(*) AS n, sum(amount) AS total FROM sales GROUP BY region",
    ),
    (
        "views/customers",
        "CREATE MATERIALIZED VIEW customers AS SELECT customer, count(*) AS n, max(amount) AS most, sum(amount) AS total FROM sales \
         GROUP BY customer",
    ),
    (
        "views/by_minute",
        "CREATE MATERIALIZED VIEW by_minute AS SELECT date_trunc('minute', sold_at) AS minute, count(*) AS n FROM sales \
         GROUP BY date_trunc('minute', sold_at)",
    ),
    ("views/entries", "CREATE MATERIALIZED VIEW entries AS SELECT id, amount FROM sales"),
    (
        "views/states",
        "CREATE MATERIALIZED VIEW states AS SELECT status, count(*) AS n FROM orders GROUP BY status",
    ),
    (
        "views/owed",
        "CREATE MATERIALIZED VIEW owed AS SELECT o.id, o.status, s.amount FROM orders o JOIN (SELECT customer, sum(amount) AS amount \
         FROM sales GROUP BY customer) s ON s.customer = o.customer",
    ),
];

/// The events, one after the other.
pub struct Events {
    random: StdRng,
    next: u64,
    sent: Vec<String>,
    /// The ids of all sales that were made.
    pub sales: BTreeSet<String>,
}

impl Events {
    /// All draws follow from the seed.
    pub fn new(seed: u64) -> Events {
        Events { random: StdRng::seed_from_u64(seed), next: 0, sent: vec![], sales: BTreeSet::new() }
    }

    /// The next so many.
    pub fn take(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.one()).collect()
    }

    fn one(&mut self) -> String {
        let random = &mut self.random;
        if !self.sent.is_empty() && random.random_range(0..100) < 15 {
            // Once more, of the latest or of any.
            let from = if random.random() { 0 } else { self.sent.len().saturating_sub(50) };
            return self.sent[random.random_range(from..self.sent.len())].clone();
        }
        let n = self.next;
        self.next += 1;
        let late = if random.random_range(0..100) < 10 { random.random_range(0..600) } else { 0 };
        let time = START_MS + n as i64 * 500 - late * MINUTE_MS;
        let time = chrono::DateTime::from_timestamp_millis(time).unwrap().to_rfc3339();
        let customer = random.random_range(0..60);
        let (kind, data) = if random.random_range(0..100) < 70 {
            self.sales.insert(format!("e{n}"));
            let (region, amount) =
                (["north", "south", "east"][random.random_range(0..3)], random.random_range(1..500));
            ("sale", format!(r#"{{"region":"{region}","customer":{customer},"amount":{amount}}}"#))
        } else {
            let status = ["open", "paid", "sent", "gone"][random.random_range(0..4)];
            // Versions come out of order, and stale ones.
            let (id, version) = (random.random_range(0..40), (n as i64 - random.random_range(0..30)).max(0));
            (
                "order",
                // A version stands for one content.
                format!(
                    r#"{{"id":"o{id}","status":"{status}","customer":{customer},"version":{}}}"#,
                    version * 1_000 + (n % 1_000) as i64
                ),
            )
        };
        let event = format!(
            r#"{{"specversion":"1.0","id":"e{n}","source":"/shop","type":"{kind}","time":"{time}","data":{data}}}"#
        );
        self.sent.push(event.clone());
        event
    }
}
