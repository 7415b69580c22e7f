//! `check` against a process that is running: its rows by HTTP, each view at the time it states; the log read beside it.
use super::{Difference, Report, Truth, differing, for_each_row, naive};
use crate::Error;
use crate::data::{self, Holder};
use crate::feed::Feed;
use crate::progress;
use crate::statements;
use dataflows::{Position, Time};
use serde_json::Value;
use sources::Source;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// A view's rows as JSON, and their time.
struct Answer {
    time: Time,
    rows: Vec<Value>,
}

/// Compares what a process answers now with the batch over the log of its data directory; also the latest time it answered for.
pub fn check(path: &Path, catalogue: &str, holder: &Holder) -> Result<(Report, Time), Error> {
    let failed =
        |why: String| Error::failed(format!("check {} by process {}", path.display(), holder.pid), why);
    let address = holder.address.as_deref().ok_or_else(|| failed("it does not answer HTTP yet".into()))?;
    let stated = statements::read(&data::statements_path(path))?;
    let (declared, _) = naive::declared(catalogue, &stated, Time::MAX)?;
    let mut by_time: BTreeMap<Time, Vec<(String, Answer)>> = BTreeMap::new();
    for compiled in declared.views() {
        let name = compiled.view.name.to_string();
        let answer =
            rows(address, &name).map_err(|why| failed(format!("view {name} at {address}: {why}")))?;
        by_time.entry(answer.time).or_default().push((name, answer));
    }
    let mut report = Report::default();
    let latest = by_time.keys().last().copied().unwrap_or(0);
    for (time, answers) in by_time {
        compare(
            Truth::open(path, catalogue, Feed::read_only(path)?)?,
            time,
            positions(path, time)?,
            answers,
            &mut report,
        )?;
    }
    Ok((report, latest))
}

fn compare(
    truth: Truth<impl Source>,
    time: Time,
    positions: Vec<Position>,
    answers: Vec<(String, Answer)>,
    report: &mut Report,
) -> Result<(), Error> {
    let (catalogue, declared) = naive::declared(&truth.catalogue, &truth.statements, time)?;
    let late = truth.late;
    let mut tables = naive::tables(truth.source, truth.bindings, declared, &positions, time)?;
    super::noted(&late, &catalogue, time, &mut tables)?;
    for (name, answer) in answers {
        let batches = match queries::batch::answer_at(&catalogue, &name, &tables, Some(time)) {
            Ok(batches) => batches,
            Err(why) => {
                report.skipped.push(format!("{name}: {why}"));
                continue;
            }
        };
        let mut expected = vec![];
        for batch in &batches {
            for_each_row(&batch.schema(), batch, None, |row| expected.push(row))?;
        }
        let expected =
            expected.iter().map(|row| serde_json::from_str(row).expect("rows are written as JSON"));
        let expected: Vec<Value> = expected.collect();
        report.views += 1;
        report.rows += expected.len();
        report.differences.extend(found(&name, &expected, &answer.rows));
    }
    Ok(())
}

/// Compares rows that were read elsewhere, as JSON and all true for one time, with the batch over the log up to that time.
pub fn at(
    path: &Path,
    catalogue: &str,
    time: Time,
    answers: Vec<(String, Vec<Value>)>,
) -> Result<Report, Error> {
    let truth = Truth::open(path, catalogue, Feed::read_only(path)?)?;
    let answers = answers.into_iter().map(|(name, rows)| (name, Answer { time, rows })).collect();
    let mut report = Report::default();
    compare(truth, time, positions(path, time)?, answers, &mut report)?;
    Ok(report)
}

fn found(view: &str, expected: &[Value], actual: &[Value]) -> Vec<Difference> {
    let text = |row: &Value, digits| written(row, digits);
    let exact =
        differing(view, expected.iter().map(|row| text(row, None)), actual.iter().map(|row| text(row, None)));
    if exact.is_empty() {
        return exact;
    }
    let digits = Some(super::FLOAT_DIGITS);
    differing(view, expected.iter().map(|row| text(row, digits)), actual.iter().map(|row| text(row, digits)))
}

/// A row as text; numbers that are not whole to so many digits.
fn written(row: &Value, float_digits: Option<usize>) -> String {
    let (Value::Object(cells), Some(digits)) = (row, float_digits) else { return row.to_string() };
    let cell = |(name, value): (&String, &Value)| match value.as_f64() {
        Some(number) => format!("{name:?}: {number:.digits$e}"),
        None => format!("{name:?}: {value}"),
    };
    format!("{{{}}}", cells.iter().map(cell).collect::<Vec<_>>().join(", "))
}

/// Where the log stood at a time.
fn positions(path: &Path, time: Time) -> Result<Vec<Position>, Error> {
    let mut bindings = progress::Reader::open(&data::bindings_path(path))?;
    let mut positions = vec![];
    while let Some(binding) = bindings.next()?.filter(|binding| binding.moment.time <= time) {
        positions = binding.positions;
    }
    Ok(positions)
}

/// A whole view at one time: the snapshot with which its stream of changes begins.
fn rows(address: &str, view: &str) -> Result<Answer, String> {
    let stream = TcpStream::connect(address).map_err(|why| format!("cannot connect: {why}"))?;
    let lost = |why: std::io::Error| format!("the answer broke off: {why}");
    stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(lost)?;
    let view: String = view.bytes().map(encoded).collect();
    // HTTP/1.0: the body comes as it is, without chunks.
    let head = format!(
        "GET /api/v1/views/{view}/changes HTTP/1.0\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n"
    );
    (&stream).write_all(head.as_bytes()).map_err(lost)?;
    let mut lines = BufReader::new(&stream).lines();
    let status = lines.next().unwrap_or(Ok(String::new())).map_err(lost)?;
    if status.split(' ').nth(1) != Some("200") {
        return Err(format!("it answered {status:?}"));
    }
    let (mut event, mut answer) = (String::new(), None);
    for line in lines {
        let line = line.map_err(lost)?;
        if let Some(name) = line.strip_prefix("event: ") {
            event = name.to_owned();
        } else if let Some(data) = line.strip_prefix("data: ") {
            match event.as_str() {
                "snapshot" => take(data, &mut answer).ok_or("the snapshot is not as it should be")?,
                _ => return answer.ok_or_else(|| format!("it began with {event}")),
            }
        }
    }
    Err("the answer ended within the snapshot".into())
}

fn take(data: &str, answer: &mut Option<Answer>) -> Option<()> {
    let mut data: Value = serde_json::from_str(data).ok()?;
    let time = data["time"].as_u64()?;
    let rows = std::mem::take(data["rows"].as_array_mut()?);
    answer.get_or_insert(Answer { time, rows: vec![] }).rows.extend(rows);
    Some(())
}

fn encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || byte == b'_' {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// The body that a process answers a POST without a body with.
pub fn post(address: &str, path: &str) -> Result<String, String> {
    let stream = TcpStream::connect(address).map_err(|why| format!("cannot connect: {why}"))?;
    let lost = |why: std::io::Error| format!("the answer broke off: {why}");
    // HTTP/1.0: the body comes as it is, without chunks, and ends with the connection.
    let head = format!("POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    (&stream).write_all(head.as_bytes()).map_err(lost)?;
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut (&stream), &mut answer).map_err(lost)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer has no head")?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(format!("it answered {:?}: {body}", head.lines().next().unwrap_or_default())),
    }
}
