//! Listings from a PostgreSQL.
use super::super::list::{self, List};
use super::{Outside, etag, key_values, one, snapshot, store_problem, time, unknown};
use crate::api::call::{AtLeast, Call, percent_decoded, timed};
use crate::api::problem::Problem;
use crate::api::views::{is_known, tagged, unchanged};
use sinks::stored::postgres::{Postgres, Select, Snapshot, Table, Test};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use warp::http::{HeaderMap, StatusCode};
use warp::reply::Response;

/// Where a listing goes on. Every process that serves the view takes it: its parts are parameters of a statement.
struct Cursor {
    copies: u64,
    place: Vec<Option<String>>,
}

impl Cursor {
    fn write(&self, scope: &str) -> String {
        let place = serde_json::Value::from(self.place.clone()).to_string();
        let hex: String = place.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("{:016x}.{}.{hex}", sign(scope), self.copies)
    }

    /// None if it was not written for this listing.
    fn read(scope: &str, text: &str) -> Option<Cursor> {
        let mut parts = text.split('.');
        let signed = u64::from_str_radix(parts.next()?, 16).ok()? == sign(scope);
        let copies = parts.next()?.parse().ok()?;
        let digits: Vec<u8> = parts
            .next()?
            .chars()
            .map(|digit| digit.to_digit(16).map(|value| value as u8))
            .collect::<Option<_>>()?;
        let bytes = digits.chunks(2).map(|pair| pair[0] * 16 + pair.get(1).copied().unwrap_or(0)).collect();
        let place: serde_json::Value = serde_json::from_str(&String::from_utf8(bytes).ok()?).ok()?;
        let place = place.as_array()?.iter().map(|cell| cell.as_str().map(str::to_owned)).collect();
        (signed && parts.next().is_none()).then_some(Cursor { copies, place })
    }
}

fn sign(scope: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(scope)
}

fn postgres(outside: &Outside) -> Result<&Postgres, Problem> {
    let detail =
        "rows are listed from a PostgreSQL, and this process reads none; single rows are here, by their key";
    let problem = || Problem::new(StatusCode::NOT_IMPLEMENTED, "not-here", "It is not done here", detail);
    outside.stores.postgres.as_ref().ok_or_else(problem)
}

async fn table(snapshot: &Snapshot, name: &str) -> Result<Table, Problem> {
    let tables = snapshot.tables(Some(name)).await.map_err(store_problem)?;
    tables.into_iter().next().ok_or_else(|| unknown(name))
}

/// `GET /api/v1/views/{name}`.
pub(super) async fn rows(outside: &Outside, name: &str, call: &Call) -> Result<Response, Problem> {
    let postgres = postgres(outside)?;
    let (at_least, parameters) = list::at_least(call.parameters()?)?;
    let name = percent_decoded(name)?;
    let snapshot = snapshot(outside, postgres, &at_least).await?;
    let time = time(snapshot.reached())?;
    let found = listed(&snapshot, &name, &parameters, time, &call.headers).await;
    snapshot.end(postgres).await;
    found
}

async fn listed(
    snapshot: &Snapshot,
    name: &str,
    parameters: &[(String, String)],
    time: dataflows::Time,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let table = table(snapshot, name).await?;
    let etag = etag(&table.stored, time);
    let scope = format!("{:x} {name}", table.stored.definition);
    let (list, cursor) = List::of(&table.stored.schema, scope, parameters)?;
    if let Some((column, _)) = list.order.iter().find(|(column, _)| !table.is_comparable(*column)) {
        let name = table.stored.schema.field(*column).name();
        return Err(Problem::bad(format!(
            "order: column \"{name}\" is made of values and cannot be ordered by here"
        )));
    }
    let read = |text| {
        let unknown =
            || Problem::bad("cursor: it was not given out for this listing; begin again without it");
        Cursor::read(&list.scope, text).ok_or_else(unknown)
    };
    let cursor = cursor.map(read).transpose()?;
    if is_known(headers, &etag) {
        return Ok(unchanged(time, etag));
    }
    let select = Select {
        tests: list.filters.iter().map(|filter| (filter.column, test(&filter.test))).collect(),
        order: list.order.clone(),
        from: cursor.as_ref().map(|cursor| cursor.place.clone()),
        // The row of the cursor, and one to know whether there are more.
        rows_max: list.limit + 2,
    };
    let rows = snapshot.select(&table, &select).await.map_err(store_problem)?;
    let (mut listed, mut next) = (vec![], None);
    'rows: for row in &rows {
        let before =
            cursor.as_ref().filter(|cursor| cursor.place == row.place).map_or(0, |cursor| cursor.copies);
        for copies in before..row.count {
            if listed.len() == list.limit {
                next = Some(());
                break 'rows;
            }
            listed.push((row, copies + 1));
        }
    }
    let next = next.and(listed.last()).map_or(String::new(), |(row, copies)| {
        let cursor = Cursor { copies: *copies, place: row.place.clone() };
        format!(",\"next\":\"{}\"", cursor.write(&list.scope))
    });
    let rows: Vec<&str> = listed.iter().map(|(row, _)| row.json.as_str()).collect();
    let body = format!("{{\"time\":{time},\"rows\":[{}]{next}}}", rows.join(","));
    Ok(tagged(timed(time, body), etag))
}

fn test(test: &list::Test) -> Test {
    match test {
        list::Test::Null => Test::Null,
        list::Test::NotNull => Test::NotNull,
        list::Test::Compare(comparison, literal) => Test::Compare(comparison.operator(), written(literal)),
    }
}

fn written(literal: &crate::api::literal::Literal) -> String {
    let mut text = String::new();
    literal.value().write_text(&mut text);
    text
}

/// One row by its key.
pub(super) async fn row(
    outside: &Outside,
    name: &str,
    key: &str,
    at_least: &AtLeast,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let postgres = postgres(outside)?;
    let snapshot = snapshot(outside, postgres, at_least).await?;
    let time = time(snapshot.reached())?;
    let found = keyed(&snapshot, name, key, time, headers).await;
    snapshot.end(postgres).await;
    found
}

async fn keyed(
    snapshot: &Snapshot,
    name: &str,
    key: &str,
    time: dataflows::Time,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let table = table(snapshot, name).await?;
    let literals = key_values(&table.stored, key)?;
    let tests = table.stored.key.iter().zip(&literals);
    let tests = tests.map(|(column, literal)| (*column, Test::Compare("=", written(literal)))).collect();
    let select = Select { tests, rows_max: 1_000, ..Select::default() };
    let rows = snapshot.select(&table, &select).await.map_err(store_problem)?;
    one(&table.stored, time, key, rows.into_iter().map(|row| (row.json, row.count)).collect(), headers)
}
