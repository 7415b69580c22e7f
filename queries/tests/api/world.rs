//! What the API's tests stand on: a store fed by hand, a host that keeps what it is given, and a client of one request.
use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use dataflows::{Batch, Delta, Position, Tick, Time, View};
use queries::api::backfills::{Backfills, Steer, Wanted};
use queries::api::host::{AppendError, DeclareError, Host, Judgement, Quarantined, Query, QueryKind};
use queries::api::{ApiConfig, serve};
use queries::session::Session;
use sinks::memory::{Limits, Memory};
use sources::Payload;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// A row of the tests' views: an id, a text, hundredths.
pub type Row = (i64, Option<&'static str>, i128);

pub fn view(name: &str, key: &[usize]) -> Arc<View> {
    let fields = vec![
        Field::new("id", DataType::Int64, false),
        Field::new("note", DataType::Utf8, true),
        Field::new("total", DataType::Decimal128(12, 2), false),
    ];
    let schema = Arc::new(Schema::new(fields));
    Arc::new(View { name: name.into(), schema, key: key.to_vec(), sql: "".into() })
}

pub fn delta(view: &View, time: Time, changes: &[(Row, i64)]) -> Delta {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(changes.iter().map(|(row, _)| row.0)));
    let notes: ArrayRef = Arc::new(StringArray::from_iter(changes.iter().map(|(row, _)| row.1)));
    let totals = Decimal128Array::from_iter_values(changes.iter().map(|(row, _)| row.2));
    let totals: ArrayRef = Arc::new(totals.with_precision_and_scale(12, 2).unwrap());
    let rows = RecordBatch::try_new(view.schema.clone(), vec![ids, notes, totals]).unwrap();
    Delta { time, rows, diffs: changes.iter().map(|(_, diff)| *diff).collect() }
}

pub fn batch(view: &Arc<View>, time: Time, changes: &[(Row, i64)]) -> Batch {
    Batch { view: view.clone(), changes: vec![delta(view, time, changes)], errs: vec![] }
}

pub fn tick(lower: Time, upper: Time, offset: u64, batches: Vec<Batch>) -> Tick {
    Tick { lower, upper, positions: vec![Position { partition: 0, offset }], batches }
}

/// A small generator of its own, so that a seed means the same for ever (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A host that refuses by what the text says.
#[derive(Default)]
pub struct Fake {
    pub appended: Mutex<Vec<Payload>>,
}

impl Host for Fake {
    fn append(&self, events: Vec<Payload>, done: Box<dyn FnOnce(Result<Vec<Position>, AppendError>) + Send>) {
        let text = format!("{events:?}");
        let result = if text.contains("disk-full") {
            Err(AppendError::Unavailable("no space left on device".into()))
        } else if text.contains("too-large") {
            Err(AppendError::TooLarge("an event has more than 8 MiB".into()))
        } else {
            let mut appended = self.appended.lock().unwrap();
            let first = appended.len() as u64;
            let positions =
                (0..events.len() as u64).map(|i| Position { partition: 0, offset: first + i + 1 });
            let positions = positions.collect();
            appended.extend(events);
            Ok(positions)
        };
        std::thread::spawn(move || done(result));
    }

    fn declare(&self, sql: &str) -> Result<Vec<String>, DeclareError> {
        match sql {
            "SELEC" => Err(DeclareError::Syntax { message: "expected a statement".into(), at: Some((1, 6)) }),
            "WINDOW" => Err(DeclareError::Unsupported("window frames; write GROUP BY instead".into())),
            "MISSING" => Err(DeclareError::Invalid("unknown table \"x\"".into())),
            "TAKEN" => Err(DeclareError::Conflict("\"orders\" is declared already".into())),
            "BROKEN" => Err(DeclareError::Internal("/secret/path".into())),
            _ => Ok(vec!["paid".into()]),
        }
    }

    fn drop_query(&self, name: &str) -> Result<(), DeclareError> {
        match name {
            "orders" => Err(DeclareError::Conflict("\"orders\" is used by \"paid\"".into())),
            "paid" => Ok(()),
            _ => Err(DeclareError::NotFound(format!("nothing is declared by the name \"{name}\""))),
        }
    }

    fn catalogue(&self) -> queries::Catalogue {
        queries::Catalogue::default()
    }

    fn publish(&self, table: &str) -> Result<(), DeclareError> {
        Err(DeclareError::NotFound(format!("there is no table {table:?}")))
    }

    fn live(&self, _: &[String]) -> Result<(), DeclareError> {
        Ok(())
    }

    fn wait(&self, _: &[Position]) -> Result<(), DeclareError> {
        Ok(())
    }

    fn flush(&self) -> Result<(), DeclareError> {
        Ok(())
    }

    fn queries(&self) -> Vec<Query> {
        vec![
            Query {
                name: "events".into(),
                kind: QueryKind::Table,
                sql: "CREATE EXTERNAL TABLE".into(),
                since: None,
            },
            Query {
                name: "orders".into(),
                kind: QueryKind::MaterializedView,
                sql: "CREATE MATERIALIZED VIEW".into(),
                since: Some(10),
            },
        ]
    }

    fn explain(&self, view_or_sql: &str) -> Result<String, DeclareError> {
        Ok(format!("stages of {view_or_sql}"))
    }

    fn quarantine(&self, after: u64, limit: usize, state: Option<&str>) -> Vec<Quarantined> {
        let record = |id: u64| Quarantined {
            id,
            position: Position { partition: 0, offset: id + 1 },
            time: 10,
            rule: "json".into(),
            reason: "not JSON".into(),
            event_id: None,
            event_source: None,
            event_type: None,
            bytes: "{]".into(),
            attributes: vec![],
            state: "pending",
            outcome: None,
            settled: None,
        };
        let records = (after + 1..=3).take(limit).map(record);
        records.filter(|record| state.is_none_or(|state| record.state == state)).collect()
    }

    fn judge(&self, id: u64, judgement: Judgement) -> Result<Quarantined, DeclareError> {
        let mut list = self.quarantine(id - 1, 1, None);
        let state = match (id, judgement) {
            (3, _) => return Err(DeclareError::Conflict("record 3 is discarded already".into())),
            (_, Judgement::Discard) => "discarded",
            (_, Judgement::Replay(None)) => "failed_again",
            (_, Judgement::Replay(Some(_))) => "replayed",
        };
        let record = list.pop().ok_or_else(|| DeclareError::NotFound(format!("no record {id}")))?;
        Ok(Quarantined { state, ..record })
    }

    fn backfills(&self) -> Option<Arc<dyn Backfills>> {
        Some(Arc::new(History))
    }

    fn metrics(&self) -> String {
        "tallyflow_events_total 7\n".into()
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}

/// One backfill, number 1, that is running.
struct History;

impl Backfills for History {
    fn begin(&self, wanted: Wanted) -> Result<serde_json::Value, DeclareError> {
        match wanted.dry_run {
            true => Err(DeclareError::Invalid("cannot read \"/a\": no such file".into())),
            false => Ok(serde_json::json!({"id": 1, "state": "waiting"})),
        }
    }

    fn all(&self) -> Vec<serde_json::Value> {
        self.one(1).into_iter().collect()
    }

    fn one(&self, id: u64) -> Option<serde_json::Value> {
        (id == 1).then(|| serde_json::json!({"id": 1, "state": "running"}))
    }

    fn steer(&self, id: u64, steer: Steer) -> Result<serde_json::Value, DeclareError> {
        match (id, steer) {
            (1, Steer::Resume) => Err(DeclareError::Conflict("backfill 1 is not paused".into())),
            (1, Steer::Pause) => Ok(serde_json::json!({"id": 1, "state": "paused"})),
            (1, Steer::Cancel) => Ok(serde_json::json!({"id": 1, "state": "cancelled"})),
            _ => Err(DeclareError::NotFound(format!("there is no backfill {id}"))),
        }
    }
}

/// A server on a free port, and its store.
pub struct World {
    pub memory: Arc<Memory>,
    pub host: Arc<Fake>,
    pub address: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    server: Option<std::thread::JoinHandle<()>>,
}

impl World {
    pub fn new(limits: Limits) -> World {
        let memory = Arc::new(Memory::new(0xabc, limits));
        let host = Arc::new(Fake::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, shut) = oneshot::channel();
        let session = Session::new(host.clone(), memory.clone(), queries::session::Limits::default());
        let server = std::thread::spawn(move || {
            let config = ApiConfig { events_bytes_max: 4096, sql_bytes_max: 1024, ..ApiConfig::default() };
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let shut = async { _ = shut.await };
            runtime.block_on(serve(listener, session, config, shut)).unwrap();
        });
        World { memory, host, address, shutdown: Some(shutdown), server: Some(server) }
    }

    /// Ends the server and waits for it.
    pub fn close(&mut self) {
        drop(self.shutdown.take());
        if let Some(server) = self.server.take() {
            server.join().unwrap();
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// One request on a connection of its own. HTTP/1.0: the body ends with the connection.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut reader = self.open(method, path, headers, body);
        let (status, headers) = head(&mut reader);
        let mut body = String::new();
        reader.read_to_string(&mut body).unwrap();
        Answer { status, headers, body }
    }

    pub fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> BufReader<TcpStream> {
        let mut socket = TcpStream::connect(self.address).unwrap();
        let mut request = format!("{method} {path} HTTP/1.0\r\nhost: test\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            request += &format!("content-length: {}\r\n", body.len());
        }
        socket.write_all((request + "\r\n").as_bytes()).unwrap();
        // A server that refuses a body by its length may have closed already.
        _ = socket.write_all(body);
        BufReader::new(socket)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.shutdown.take());
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

pub fn head(reader: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).expect("a status line").parse().unwrap();
    let mut headers = vec![];
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_string())),
            None => return (status, headers),
        }
    }
}
