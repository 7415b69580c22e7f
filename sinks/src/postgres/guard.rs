//! The guarded row of a sink: who may write, from which time on, and which views are there by which definitions.
use super::address::Address;
use super::session::{Cells, Session, is_locked, literal, quoted};
use super::{Names, Writer};
use crate::delivery::Delivery;
use crate::reach::Reach;
use crate::{Held, SinkError, fault};
use dataflows::Position;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// PostgreSQL 15: before it, a key that may be NULL cannot be unique.
const VERSION_MIN: u64 = 150_000;
/// A writer that was stopped within a transaction holds the row: so often it is ended.
const TAKE_OVERS_MAX: usize = 3;
const OPEN: &str = "open the store";

/// Takes the store over, and says what it holds.
pub(super) async fn take_over(
    address: &Address,
    names: &Names,
    reach: Reach,
) -> Result<(Writer, Held), SinkError> {
    for _ in 1..TAKE_OVERS_MAX {
        match attempt(address, names, reach).await {
            Err(why) if is_locked(&why) => end_holders(address, names).await?,
            done => return done,
        }
    }
    attempt(address, names, reach).await
}

async fn attempt(address: &Address, names: &Names, reach: Reach) -> Result<(Writer, Held), SinkError> {
    let session = Session::connect(address).await?;
    let (rows, _) = session.ask(OPEN, "SHOW server_version_num").await?;
    let version = cell(&rows, 0).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    if version < VERSION_MIN {
        return Err(SinkError::Fatal(format!("the server is of version {version}: 15 or newer is needed")));
    }
    make_schema(&session, names).await?;
    fault("takeover_before")?;
    let (sink, pipeline) = (literal(&names.sink), literal(&names.pipeline));
    let schema = quoted(&names.schema);
    if reach.is_known() {
        let ask =
            format!("SELECT time FROM {schema}.tf_writer WHERE sink = {sink} AND pipeline = {pipeline}");
        let (rows, _) = session.ask(OPEN, &ask).await?;
        reach.check(cell(&rows, 0).and_then(|time| time.parse().ok()))?;
    }
    let take = format!(
        "BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '60s';
         INSERT INTO {schema}.tf_writer (sink, pipeline) VALUES ({sink}, {pipeline}) ON CONFLICT DO NOTHING;
         UPDATE {schema}.tf_writer SET epoch = epoch + 1, pipeline = {pipeline},
           time = CASE WHEN pipeline = {pipeline} THEN time END,
           positions = CASE WHEN pipeline = {pipeline} THEN positions ELSE '[]' END,
           definitions = CASE WHEN pipeline = {pipeline} THEN definitions
             ELSE (SELECT coalesce(jsonb_object_agg(key, '0'), '{{}}') FROM jsonb_object_keys(definitions) key) END,
           holder_pid = pg_backend_pid(), updated_at = now()
         WHERE sink = {sink} RETURNING epoch, time, positions, definitions;
         SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = {} AND c.relkind = 'r'; COMMIT",
        literal(&names.schema)
    );
    let (rows, _) = session.ask(OPEN, &take).await?;
    fault("takeover_after")?;
    let unreadable =
        || SinkError::Fatal(format!("the row of sink {:?} in tf_writer is not ours", names.sink));
    let (row, tables) = rows.split_first().ok_or_else(unreadable)?;
    let [Some(epoch), time, Some(positions), Some(definitions)] = row.as_slice() else {
        return Err(unreadable());
    };
    let epoch = epoch.parse().map_err(|_| unreadable())?;
    let time = time.as_ref().map(|time| time.parse()).transpose().map_err(|_| unreadable())?;
    let positions = positions_of(positions).ok_or_else(unreadable)?;
    // What somebody dropped is not held.
    let is_there = |name: &str| tables.iter().any(|row| row[0].as_deref() == Some(name));
    let definitions = definitions_of(definitions).ok_or_else(unreadable)?;
    let definitions: BTreeMap<Arc<str>, u64> =
        definitions.into_iter().filter(|(name, _)| is_there(name)).collect();
    let views = definitions.iter().map(|(name, definition)| (name.clone(), *definition)).collect();
    let held = Held { time, positions, begun: None, views };
    Ok((Writer { session, epoch, definitions }, held))
}

/// Makes what is missing. Who may not make a schema finds one made.
async fn make_schema(session: &Session, names: &Names) -> Result<(), SinkError> {
    let (schema, text) = (quoted(&names.schema), literal(&names.schema));
    let there = format!(
        "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = {text}),
                (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = {text} AND c.relname IN ('tf_writer', 'tf_time'))"
    );
    let (rows, _) = session.ask(OPEN, &there).await?;
    if cell(&rows, 0) == Some("0") {
        session.run(OPEN, &format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await?;
    }
    if cell(&rows, 1) == Some("2") {
        return Ok(());
    }
    let make = format!(
        "BEGIN;
         CREATE TABLE IF NOT EXISTS {schema}.tf_writer (
           sink text PRIMARY KEY, pipeline text NOT NULL, epoch bigint NOT NULL DEFAULT 0, time bigint,
           positions jsonb NOT NULL DEFAULT '[]', definitions jsonb NOT NULL DEFAULT '{{}}',
           holder_pid int, updated_at timestamptz NOT NULL DEFAULT now()) WITH (fillfactor = 50);
         COMMENT ON TABLE {schema}.tf_writer IS 'tallyflow: who writes here, and up to which time; leave it alone';
         CREATE OR REPLACE VIEW {schema}.tf_time AS
           SELECT sink, time, to_timestamp(time / 1000.0) AS at, positions, updated_at FROM {schema}.tf_writer;
         COMMENT ON VIEW {schema}.tf_time IS 'tallyflow: the time that all tables of a sink are true for';
         COMMIT"
    );
    session.run(OPEN, &make).await
}

/// Ends the sessions of this sink that are within a transaction of it. The same role may.
async fn end_holders(address: &Address, names: &Names) -> Result<(), SinkError> {
    let session = Session::connect(address).await?;
    let end = format!(
        "SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
         WHERE l.relation = '{}.tf_writer'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
           AND a.application_name = {} AND a.pid <> pg_backend_pid()",
        quoted(&names.schema).replace('\'', "''"),
        literal(&address.application)
    );
    session.ask("end a writer that was stopped", &end).await.map(|_| ())
}

/// Begins the transaction of a delivery: the row is ours, and holds the time that the delivery begins from.
pub(super) async fn begin(
    writer: &Writer,
    names: &Names,
    delivery: &Delivery,
    definitions: &BTreeMap<Arc<str>, u64>,
) -> Result<(), SinkError> {
    let (schema, sink) = (quoted(&names.schema), literal(&names.sink));
    let from = delivery.from.map_or("NULL".to_owned(), |time| time.to_string());
    fault("pg_guard_before")?;
    let guard = format!(
        "BEGIN; SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '300s';
         SET LOCAL idle_in_transaction_session_timeout = '60s';
         UPDATE {schema}.tf_writer SET time = {}, positions = {}, definitions = {}, updated_at = now()
         WHERE sink = {sink} AND epoch = {} AND time IS NOT DISTINCT FROM {from}::bigint",
        delivery.to,
        literal(&positions_text(&delivery.positions)),
        literal(&definitions_text(definitions)),
        writer.epoch
    );
    let (_, touched) = writer.session.ask("take hold of the store's time", &guard).await?;
    fault("pg_guard_after")?;
    if touched == 1 {
        return Ok(());
    }
    let ask = format!("ROLLBACK; SELECT epoch, time FROM {schema}.tf_writer WHERE sink = {sink}");
    let (rows, _) = writer.session.ask("read the store's time", &ask).await?;
    let epoch = cell(&rows, 0).and_then(|text| text.parse::<i64>().ok());
    let time = cell(&rows, 1).unwrap_or("none");
    match epoch {
        Some(epoch) if epoch > writer.epoch => Err(SinkError::Fenced(format!(
            "another writer has taken the store over: its epoch is {epoch}, ours {}",
            writer.epoch
        ))),
        Some(_) => Err(SinkError::Moved(format!("the store holds time {time}, not {from}"))),
        None => Err(SinkError::Moved("the store lost its row in tf_writer".into())),
    }
}

fn cell(rows: &[Cells], column: usize) -> Option<&str> {
    rows.first()?.get(column)?.as_deref()
}

fn positions_text(positions: &[Position]) -> String {
    let list = positions.iter().map(|p| json!({"partition": p.partition, "offset": p.offset}));
    Value::Array(list.collect()).to_string()
}

fn positions_of(text: &str) -> Option<Vec<Position>> {
    let list: Vec<Value> = serde_json::from_str(text).ok()?;
    let one = |value: &Value| {
        let partition = u32::try_from(value["partition"].as_u64()?).ok()?;
        Some(Position { partition, offset: value["offset"].as_u64()? })
    };
    list.iter().map(one).collect()
}

fn definitions_text(definitions: &BTreeMap<Arc<str>, u64>) -> String {
    let map = definitions.iter().map(|(name, hash)| (name.to_string(), Value::from(hash.to_string())));
    Value::Object(map.collect::<Map<_, _>>()).to_string()
}

pub(super) fn definitions_of(text: &str) -> Option<BTreeMap<Arc<str>, u64>> {
    let map: Map<String, Value> = serde_json::from_str(text).ok()?;
    map.iter().map(|(name, hash)| Some((name.as_str().into(), hash.as_str()?.parse().ok()?))).collect()
}
