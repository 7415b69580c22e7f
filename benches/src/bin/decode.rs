//! How fast events become typed columns on one thread: `cargo run --release -p benches --bin decode [-- --file PATH]`.
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use dataflows::{Mode, Table};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sources::decode::{Decoded, Decoder, Mapping, Outcome, Path, Pattern};
use sources::{Payload, Record};
use std::sync::Arc;
use std::time::Instant;

const EVENTS: usize = 200_000;
const BATCH_EVENTS: usize = 1_000;
const RUNS: usize = 5;
const SEED: u64 = 7;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    measure("generated bills and payments", &generated());
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {}
        ["--file", path] => match from_file(path) {
            Ok(records) => measure(path, &records),
            Err(error) => fail(&format!("cannot read \"{path}\": {error}")),
        },
        _ => fail("usage: decode [--file EVENTS.ndjson.zst]"),
    }
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(1)
}

fn measure(name: &str, records: &[Record]) {
    let decoder = Decoder::new(mappings());
    let bytes: usize = records.iter().map(|record| payload_bytes(&record.payload)).sum();
    println!("{name}: {} events of {} bytes on average", records.len(), bytes / records.len().max(1));
    let mut rates: Vec<f64> = (1..=RUNS)
        .map(|run| {
            let start = Instant::now();
            let mut counts = Counts::default();
            for batch in records.chunks(BATCH_EVENTS) {
                counts.add(&decoder.decode(batch));
            }
            let rate = records.len() as f64 / start.elapsed().as_secs_f64();
            let megabytes = rate * bytes as f64 / records.len() as f64 / 1e6;
            println!("  run {run}: {rate:>9.0} events/s {megabytes:>5.0} MB/s, {counts:?}");
            rate
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    println!("  median: {:.0} events/s", rates[RUNS / 2]);
}

/// What a run gave, so that two runs can be compared.
#[derive(Debug, Default)]
struct Counts {
    rows: [usize; 3],
    rejects: usize,
}

impl Counts {
    fn add(&mut self, decoded: &Decoded) {
        for table in &decoded.tables {
            self.rows[table.mapping] += table.records.len();
        }
        self.rejects +=
            decoded.heads.iter().filter(|head| matches!(head.outcome, Outcome::Reject(_))).count();
    }
}

fn payload_bytes(payload: &Payload) -> usize {
    match payload {
        Payload::Structured(bytes) => bytes.len(),
        Payload::Binary { body, .. } => body.len(),
    }
}

fn mapping(name: &str, types: &str, each: Option<&str>, columns: &[(&str, DataType, &str)]) -> Arc<Mapping> {
    let fields = columns.iter().map(|(name, data_type, _)| Field::new(*name, data_type.clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let path = |text: &str| Path::parse(text).expect("paths of this file are right");
    Arc::new(Mapping {
        table: Arc::new(Table { name: name.into(), schema, mode: Mode::Append }),
        types: Pattern::parse(types).expect("patterns of this file are right"),
        deletes: None,
        each: each.map(path),
        columns: columns.iter().map(|(_, _, text)| path(text)).collect(),
        from_what_is_kept: false,
    })
}

fn mappings() -> Vec<Arc<Mapping>> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let bills = [
        ("bill", DataType::Utf8, "data.billNo"),
        ("customer", DataType::Utf8, "data.customerId"),
        ("amount", DataType::Decimal128(18, 2), "data.amount.value"),
        ("currency", DataType::Utf8, "data.amount.unit"),
        ("lines", DataType::Int64, "data.lineCount"),
        ("paid", DataType::Boolean, "data.paid"),
        ("due", DataType::Date32, "data.dueDate"),
        ("time", time.clone(), "time"),
    ];
    let payments = [
        ("payment", DataType::Utf8, "data.paymentId"),
        ("customer", DataType::Utf8, "data.customerId"),
        ("amount", DataType::Decimal128(18, 2), "data.amount.value"),
        ("method", DataType::Utf8, "data.method"),
        ("score", DataType::Float64, "data.riskScore"),
        ("time", time.clone(), "time"),
    ];
    let lines = [
        ("document", DataType::Utf8, "data.documentId"),
        ("line", DataType::Int64, "item.lineNo"),
        ("product", DataType::Utf8, "item.productId"),
        ("name", DataType::Utf8, "item.name"),
        ("quantity", DataType::Int64, "item.quantity"),
        ("price", DataType::Decimal128(18, 3), "item.unitPrice"),
        ("time", time, "time"),
    ];
    vec![
        mapping("bills", "com.example.bss.billing.*", None, &bills),
        mapping("payments", "com.example.bss.payment.*", None, &payments),
        mapping(
            "lines",
            "com.example.bss.customerBill.*,com.example.bss.creditNote.*",
            Some("data.items"),
            &lines,
        ),
    ]
}

fn generated() -> Vec<Record> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    (0..EVENTS as u64)
        .map(|offset| {
            let text = if random.random_bool(0.7) {
                bill(offset, &mut random)
            } else {
                payment(offset, &mut random)
            };
            Record { partition: 0, offset, payload: Payload::Structured(text.into()) }
        })
        .collect()
}

fn envelope(offset: u64, event_type: &str, customer: u32, random: &mut ChaCha8Rng, data: &str) -> String {
    let (hour, minute, second, milli) =
        (offset / 10_000 % 24, random.random_range(0..60), offset % 60, offset % 1000);
    format!(
        r#"{{"specversion":"1.0","id":"evt-{offset:012}","source":"/billing/eu-west","type":"{event_type}","subject":"customer/{customer}","time":"2026-03-14T{hour:02}:{minute:02}:{second:02}.{milli:03}Z","datacontenttype":"application/json","partitionkey":"customer/{customer}","data":{data}}}"#
    )
}

fn bill(offset: u64, random: &mut ChaCha8Rng) -> String {
    let customer = random.random_range(10_000..99_999);
    let (units, cents, lines) =
        (random.random_range(1..9_999), random.random_range(0..100), random.random_range(1..40));
    let (paid, day) = (random.random_bool(0.5), random.random_range(1..=28));
    let data = format!(
        r#"{{"billNo":"B{offset:010}","customerId":"{customer}","amount":{{"value":"{units}.{cents:02}","unit":"EUR"}},"lineCount":{lines},"paid":{paid},"dueDate":"2026-04-{day:02}","state":"issued","note":"monthly fee and usage","address":{{"city":"Rotterdam","country":"NL"}}}}"#
    );
    envelope(offset, "com.example.bss.billing.billCreated.v1", customer, random, &data)
}

fn payment(offset: u64, random: &mut ChaCha8Rng) -> String {
    let customer = random.random_range(10_000..99_999);
    let (units, cents) = (random.random_range(1..9_999), random.random_range(0..100));
    let score = random.random_range(0..1000);
    let data = format!(
        r#"{{"paymentId":"P{offset:010}","customerId":"{customer}","amount":{{"value":{units}.{cents:02},"unit":"EUR"}},"method":"directDebit","riskScore":0.{score:03},"channel":"web","device":{{"agent":"Mozilla/5.0 (X11; Linux x86_64)","country":"NL"}},"merchant":"Example Energy B.V."}}"#
    );
    envelope(offset, "com.example.bss.payment.received.v1", customer, random, &data)
}

fn from_file(path: &str) -> std::io::Result<Vec<Record>> {
    let bytes = std::fs::read(path)?;
    let text = if path.ends_with(".zst") { zstd::decode_all(bytes.as_slice())? } else { bytes };
    let text = bytes::Bytes::from(text);
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let record = |(offset, line): (usize, &[u8])| Record {
        partition: 0,
        offset: offset as u64,
        payload: Payload::Structured(text.slice_ref(line)),
    };
    Ok(lines.enumerate().map(record).collect())
}
