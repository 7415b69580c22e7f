//! `Events`: orders that change and go, payments, and all that a careless producer sends. The truth reads them by what they say here.
use super::Counters;
use super::random::Random;
use dataflows::Time;
use sources::Payload;

/// What is declared.
pub const SQL: &str = "
CREATE EXTERNAL TABLE orders (id INT NOT NULL, customer TEXT, amount INT, version BIGINT)
STORED AS CLOUDEVENTS LOCATION 'sim.order'
OPTIONS ('mode' 'latest', 'key' 'id', 'version' 'version', 'delete' 'sim.gone', 'column.id' 'data.id',
    'column.customer' 'data.customer', 'column.amount' 'data.amount', 'column.version' 'data.version');
CREATE EXTERNAL TABLE payments (customer TEXT, amount INT)
STORED AS CLOUDEVENTS LOCATION 'sim.payment'
OPTIONS ('column.customer' 'data.customer', 'column.amount' 'data.amount');
CREATE MATERIALIZED VIEW totals AS
    SELECT customer, count(*) AS n, sum(amount) AS total FROM orders GROUP BY customer;
CREATE MATERIALIZED VIEW big AS SELECT id, customer, amount FROM orders WHERE amount >= 50;
CREATE MATERIALIZED VIEW paid AS SELECT customer, amount FROM payments;
CREATE MATERIALIZED VIEW rejects AS SELECT rule, count(*) AS n FROM quarantine GROUP BY rule;
";

/// How far events may be ahead of the clock.
pub const SKEW_MS: u64 = 1_000;

/// What an event does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// An order is there, with customer and amount, from a version on.
    Order(u64, String, i64, u64),
    /// An order is gone from a version on.
    Gone(u64, u64),
    /// A payment.
    Payment(String, i64),
    /// Nothing that a table takes.
    Other,
}

/// An event as the truth sees it; none: a record that is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its identity.
    pub id: u64,
    /// Its time.
    pub time: Time,
    /// What it does.
    pub deed: Deed,
}

/// Makes events.
#[derive(Default)]
pub struct Events {
    made: u64,
    past: Vec<Event>,
}

impl Events {
    /// The next record of the log.
    pub fn next(&mut self, now: Time, random: &mut Random, counters: &mut Counters) -> Payload {
        if random.percent(3) {
            counters.count("garbage");
            return Payload::Structured("{\"specversion\": \"1.0\"".into());
        }
        if !self.past.is_empty() && random.percent(20) {
            let mut again = self.past[random.place(self.past.len())].clone();
            if random.percent(15) {
                counters.count("conflicts");
                again.deed = Deed::Payment("c9".into(), 999);
            } else {
                counters.count("duplicates");
            }
            return write(&again);
        }
        self.made += 1;
        let (customer, amount) = (format!("c{}", random.below(4)), random.below(100) as i64);
        // Versions are distinct, and now and then out of order.
        let version = self.made ^ random_bits(self.made);
        let deed = match random.below(10) {
            0..=4 => Deed::Order(random.below(12), customer, amount, version),
            5..=6 => Deed::Gone(random.below(12), version),
            7..=8 => Deed::Payment(customer, amount % 5),
            _ => Deed::Other,
        };
        let mut time = now - random.below(500);
        if random.percent(3) {
            counters.count("future events");
            time = now + SKEW_MS + 5_000 + random.below(5_000);
        } else if random.percent(3) {
            time = now - 3_600_000;
        }
        let event = Event { id: self.made, time, deed };
        self.past.push(event.clone());
        write(&event)
    }
}

/// Three bits that swap neighbours, the same for all of a group of eight.
fn random_bits(made: u64) -> u64 {
    Random::new(made >> 3).below(8)
}

fn write(event: &Event) -> Payload {
    let (kind, data) = match &event.deed {
        Deed::Order(id, customer, amount, version) => (
            "order",
            serde_json::json!({"id": id, "customer": customer, "amount": amount, "version": version}),
        ),
        Deed::Gone(id, version) => ("gone", serde_json::json!({"id": id, "version": version})),
        Deed::Payment(customer, amount) => {
            ("payment", serde_json::json!({"customer": customer, "amount": amount}))
        }
        Deed::Other => ("other", serde_json::json!({})),
    };
    let time = chrono::DateTime::from_timestamp_millis(event.time as i64).unwrap_or_default();
    let text = serde_json::json!({
        "specversion": "1.0", "source": "/sim", "id": event.id.to_string(), "type": format!("sim.{kind}"),
        "time": time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true), "data": data
    });
    Payload::Structured(text.to_string().into())
}

/// What a record says; none: it is no event.
pub fn read(payload: &Payload) -> Option<Event> {
    let Payload::Structured(bytes) = payload else { return None };
    let json: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let (number, data) = (|value: &serde_json::Value| value.as_u64(), &json["data"]);
    let customer = || data["customer"].as_str().map(str::to_owned);
    let deed = match json["type"].as_str()? {
        "sim.order" => Deed::Order(
            number(&data["id"])?,
            customer()?,
            data["amount"].as_i64()?,
            number(&data["version"])?,
        ),
        "sim.gone" => Deed::Gone(number(&data["id"])?, number(&data["version"])?),
        "sim.payment" => Deed::Payment(customer()?, data["amount"].as_i64()?),
        _ => Deed::Other,
    };
    let time = chrono::DateTime::parse_from_rfc3339(json["time"].as_str()?).ok()?.timestamp_millis() as Time;
    Some(Event { id: json["id"].as_str()?.parse().ok()?, time, deed })
}
