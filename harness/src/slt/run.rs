//! A script in its own order, each query as it is, or as a view created where it stands, or both.
use super::compare::{self, Match, compare};
use super::database::Connection;
use super::report::{Outcome, Verdict};
use super::script::{self, Effect};
use super::{Mode, differs, external};
use queries::DeclareError;
use queries::rewrite::with_keys;
use sqllogictest::{
    Condition, Control, DefaultColumnType, QueryExpect, RecordOutput, ResultMode, Runner, SortMode,
    StatementExpect,
};
use std::any::Any;
use std::collections::BTreeMap;
use std::future::{Future, Ready, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A record of a script.
pub type Record = sqllogictest::Record<DefaultColumnType>;
type Output = RecordOutput<DefaultColumnType>;
type Make = Box<dyn FnMut() -> Ready<Result<Connection, DeclareError>> + Send>;
/// A script that waits longer waits for what does not take time here.
const SLEEP_MAX: Duration = Duration::from_secs(3);
/// Is given each outcome.
pub type Report<'a> = &'a mut dyn FnMut(Outcome);

/// The records of a file, without those that are for other systems.
pub fn records(file: &Path) -> Result<Vec<Record>, String> {
    let records = sqllogictest::parse_file::<DefaultColumnType>(file).or_else(|why| {
        // The parser takes no comment after a condition; a file without includes can be read once more without them.
        let text = std::fs::read_to_string(file).map_err(|_| why.to_string())?;
        let text: Vec<&str> = text.lines().map(without_comment).collect();
        sqllogictest::parse_with_name(&text.join("\n"), file.display().to_string())
            .map_err(|_| why.to_string())
    })?;
    Ok(records.into_iter().filter(is_for_us).collect())
}

fn without_comment(line: &str) -> &str {
    match line.starts_with("skipif ") || line.starts_with("onlyif ") {
        true => line.split('#').next().unwrap_or(line).trim_end(),
        false => line,
    }
}

fn is_for_us(record: &Record) -> bool {
    let conditions = match record {
        Record::Statement { conditions, .. }
        | Record::Query { conditions, .. }
        | Record::Let { conditions, .. } => conditions,
        _ => return true,
    };
    conditions.iter().all(|condition| match condition {
        Condition::OnlyIf { label } => label == super::ENGINE,
        Condition::SkipIf { label } => label != super::ENGINE,
    })
}

/// A script while it runs.
pub struct Run {
    runner: Runner<Connection, Make>,
    records: Vec<Record>,
    /// For each record the tables and views that it names.
    uses: Vec<Vec<(String, usize)>>,
    /// Tables and views that are not what the script means, since a statement was refused: why.
    amiss: BTreeMap<String, String>,
    values_apart: bool,
    sort: Option<SortMode>,
    base: PathBuf,
    place: Arc<Mutex<String>>,
}

impl Run {
    /// A script and its database. `base` is the folder of its data; `place` follows where it is.
    pub fn new(
        connection: Connection,
        records: Vec<Record>,
        base: PathBuf,
        place: Arc<Mutex<String>>,
    ) -> Run {
        let statements: Vec<&str> = records.iter().map(sql_of).collect();
        let uses = script::uses(&statements);
        let make: Make = Box::new(move || ready(Ok(connection.clone())));
        Run {
            runner: Runner::new(make),
            records,
            uses,
            amiss: BTreeMap::new(),
            values_apart: false,
            sort: None,
            base,
            place,
        }
    }

    /// The records.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The tables and views that a record names, each with how often it had been created by then.
    pub fn uses(&self, at: usize) -> &[(String, usize)] {
        &self.uses[at]
    }

    /// Runs the script in its own order.
    pub fn in_order(&mut self, modes: &[Mode], report: Report) {
        for at in 0..self.records.len() {
            let record = self.records[at].clone();
            if !self.arrive(&record) {
                break;
            }
            match &record {
                Record::Statement { sql, expected, .. } => {
                    let verdict = self.statement(at, sql, expected);
                    report(outcome(modes[0], &record, verdict));
                }
                // What changes rows is run once, whichever the modes are.
                Record::Query { sql, .. } if matches!(script::effect(sql), Effect::Change(_)) => {
                    let verdict = self.query(at, &record);
                    let verdict = self.note(at, sql, verdict);
                    report(outcome(modes[0], &record, verdict));
                }
                Record::Query { .. } => {
                    for mode in modes {
                        let verdict = match mode {
                            Mode::Plain => Some(self.query(at, &record)),
                            _ => self.wrapped(at, &record),
                        };
                        if let Some(verdict) = verdict {
                            report(outcome(*mode, &record, verdict));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Notes where the script is, and takes records that are about the script itself; false at its end.
    pub fn arrive(&mut self, record: &Record) -> bool {
        if let Some(place) = place_of(record) {
            *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
        }
        match record {
            Record::Halt { .. } => return false,
            Record::Control(Control::ResultMode(mode)) => self.values_apart = *mode == ResultMode::ValueWise,
            Record::Control(Control::SortMode(mode)) => self.sort = Some(*mode),
            Record::Sleep { duration, .. } => std::thread::sleep((*duration).min(SLEEP_MAX)),
            _ => {}
        }
        if matches!(record, Record::Control(_) | Record::HashThreshold { .. } | Record::Let { .. }) {
            _ = self.apply(record.clone());
        }
        true
    }

    /// The statements that make an external table over CSV files, if it is one.
    pub fn csv(&self, sql: &str) -> Option<Result<Vec<String>, String>> {
        external::statements(sql, &self.base)
    }

    /// Runs a statement, of external tables several.
    pub fn statement(&mut self, at: usize, sql: &str, expected: &StatementExpect) -> Verdict {
        let statements = match self.csv(sql) {
            None => vec![sql.to_owned()],
            Some(Ok(statements)) => statements,
            Some(Err(why)) => return self.note(at, sql, Verdict::Skipped(format!("CSV: {why}"))),
        };
        let mut verdict = Verdict::Passed;
        for statement in &statements {
            verdict = self.single(at, statement, expected);
            if verdict != Verdict::Passed {
                break;
            }
        }
        self.note(at, sql, verdict)
    }

    /// Runs one statement as it is.
    pub fn single(&mut self, at: usize, sql: &str, expected: &StatementExpect) -> Verdict {
        match script::effect(sql) {
            Effect::Ignored => return Verdict::Skipped("settings, transactions, indexes".into()),
            Effect::Skipped(what) => return Verdict::Skipped(what.into()),
            _ => {}
        }
        let record = with_sql(&self.records[at], sql);
        match (self.apply(record), expected) {
            (Err(panic), _) => Verdict::Wrong(panic),
            (Ok(output), StatementExpect::Error(_)) => match error_of(&output) {
                Some(_) => Verdict::Passed,
                None => Verdict::Accepted,
            },
            (Ok(output), expected) => match (error_of(&output), output, expected) {
                (Some(refused), _, _) => refused,
                // DataFusion counts no rows where a table is created, PostgreSQL those of its query.
                (None, Output::Statement { count, .. }, StatementExpect::Count(n))
                    if count != *n && !matches!(script::effect(sql), Effect::Table(_)) =>
                {
                    Verdict::Wrong(format!("{count} rows are affected, not {n}"))
                }
                _ => Verdict::Passed,
            },
        }
    }

    /// Remembers what a statement leaves amiss where it did not pass.
    pub fn note(&mut self, at: usize, sql: &str, verdict: Verdict) -> Verdict {
        let of_used = self.reason_amiss(at);
        match (script::effect(sql), &verdict) {
            (Effect::Table(name) | Effect::View(name), Verdict::Refused(why) | Verdict::Skipped(why)) => {
                self.amiss.insert(name, why.clone());
            }
            (Effect::Change(name), Verdict::Refused(why) | Verdict::Skipped(why)) => {
                self.amiss.entry(name).or_insert(why.clone());
            }
            (Effect::Table(name) | Effect::View(name), Verdict::Passed) => {
                self.amiss.remove(&name);
                if let Some(why) = self.reason_amiss(at) {
                    self.amiss.insert(name, why);
                }
            }
            (Effect::Change(name), Verdict::Passed) => {
                if let Some(why) = of_used.clone() {
                    self.amiss.insert(name, why);
                }
            }
            _ => {}
        }
        let verdict = match (verdict, of_used) {
            (Verdict::Refused(_), Some(why)) if is_missing_data(&why) => Verdict::Skipped(why),
            (Verdict::Refused(_), Some(why)) if !matches!(script::effect(sql), Effect::Table(_)) => {
                Verdict::Refused(after(&why))
            }
            (verdict, _) => verdict,
        };
        if let Effect::Drop(names) = script::effect(sql) {
            names.iter().for_each(|name| _ = self.amiss.remove(name));
        }
        verdict
    }

    /// Why something that a record names is not what the script means.
    fn reason_amiss(&self, at: usize) -> Option<String> {
        self.uses[at].iter().find_map(|(name, _)| self.amiss.get(name)).cloned()
    }

    /// Runs a query as it is.
    pub fn query(&mut self, at: usize, record: &Record) -> Verdict {
        let Record::Query { sql, .. } = record else { return Verdict::Skipped("not a query".into()) };
        match script::effect(sql) {
            Effect::Ignored => return Verdict::Skipped("settings, transactions, indexes".into()),
            Effect::Skipped(what) => return Verdict::Skipped(what.into()),
            _ => {}
        }
        let verdict = self.answer(at, record, script::is_ordered(sql));
        self.excuse(at, verdict)
    }

    /// Runs a query as a view created here; none where that says nothing.
    fn wrapped(&mut self, at: usize, record: &Record) -> Option<Verdict> {
        is_viewable(record).then(|| {
            let name = format!("__mv_{at}");
            let created = self.create_view(at, &name);
            let verdict = match created {
                Verdict::Passed => self.read_view(at, record, &name),
                verdict => verdict,
            };
            self.excuse(at, verdict)
        })
    }

    /// Creates a view of a record's query.
    pub fn create_view(&mut self, at: usize, name: &str) -> Verdict {
        let query = sql_of(&self.records[at]).trim().trim_end_matches(';').to_owned();
        let verdict = self.command(&format!("CREATE MATERIALIZED VIEW {name} AS {query}"));
        // A query may give several columns one name, a view may not: it numbers them.
        match &verdict {
            Verdict::Refused(why) if why.contains("has the column") => self
                .apply(with_sql(&self.records[at], &query))
                .map(|output| script::numbered(&output))
                .map(|list| self.command(&format!("CREATE MATERIALIZED VIEW {name} ({list}) AS {query}")))
                .unwrap_or(verdict),
            _ => verdict,
        }
    }

    /// Compares a view with what its query answers, and drops it.
    pub fn read_view(&mut self, at: usize, record: &Record, name: &str) -> Verdict {
        let read = with_sql(record, &format!("SELECT * FROM {name}"));
        let verdict = self.answer(at, &read, false);
        match (verdict, self.command(&format!("DROP MATERIALIZED VIEW {name}"))) {
            (Verdict::Passed, Verdict::Refused(why) | Verdict::Wrong(why)) => {
                Verdict::Wrong(format!("the view cannot be dropped: {why}"))
            }
            (verdict, _) => verdict,
        }
    }

    /// Where what the query uses is amiss, its answer says nothing.
    pub fn excuse(&self, at: usize, verdict: Verdict) -> Verdict {
        match (verdict, self.reason_amiss(at)) {
            (Verdict::Refused(_) | Verdict::Wrong(_), Some(why)) if is_missing_data(&why) => {
                Verdict::Skipped(why)
            }
            (Verdict::Refused(_) | Verdict::Wrong(_), Some(why)) => Verdict::Refused(after(&why)),
            (Verdict::Refused(_), None) if differs::is_refused_by_postgres(&self.records, &self.uses, at) => {
                Verdict::Skipped("PostgreSQL, too, answers otherwise than the suite".into())
            }
            (verdict, _) => verdict,
        }
    }

    fn command(&mut self, sql: &str) -> Verdict {
        let Ok(mut records) = sqllogictest::parse::<DefaultColumnType>("statement ok\nCOMMAND\n") else {
            return Verdict::Wrong("the runner cannot make a statement".into());
        };
        match self.apply(with_sql(&records.swap_remove(0), sql)) {
            Err(panic) => Verdict::Wrong(panic),
            Ok(output) => error_of(&output).unwrap_or(Verdict::Passed),
        }
    }

    /// Whether a LIMIT without an order leaves the choice, and both these rows and the expected ones are one.
    fn is_free_choice(
        &mut self,
        query: &str,
        record: &Record,
        rows: &[Vec<String>],
        expected: &[String],
    ) -> bool {
        let Some(unlimited) = script::without_limit(query).filter(|_| rows.len() == expected.len()) else {
            return false;
        };
        match self.apply(with_sql(record, &unlimited)) {
            Ok(Output::Query { rows: all, error: None, .. }) => {
                let rows: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
                compare::is_part(&rows, &all) && compare::is_part(expected, &all)
            }
            _ => false,
        }
    }

    /// Whether the expected rows are an order of ours as well: rows change places only where the keys of ORDER BY are equal.
    fn is_other_tie(&mut self, query: &str, record: &Record, expected: &[String]) -> bool {
        let Some((keyed, keys)) = with_keys(query) else { return false };
        match self.apply(with_sql(record, &keyed)) {
            Ok(Output::Query { rows, error: None, .. }) => compare::is_other_tie(&rows, keys, expected),
            _ => false,
        }
    }

    /// Runs the query at a place, or reads the view of it that `record` names instead, and compares the rows.
    fn answer(&mut self, at: usize, record: &Record, in_order: bool) -> Verdict {
        let Record::Query { expected, .. } = record else { return Verdict::Skipped("not a query".into()) };
        let query = sql_of(&self.records[at]).to_owned();
        let output = match self.apply(record.clone()) {
            Ok(output) => output,
            Err(panic) => return Verdict::Wrong(panic),
        };
        match (error_of(&output), output, expected) {
            (Some(_), _, QueryExpect::Error(_)) => Verdict::Passed,
            (Some(verdict), _, _) => verdict,
            (None, _, QueryExpect::Error(_)) => Verdict::Accepted,
            (None, Output::Query { rows, .. }, QueryExpect::Results { results, sort_mode, .. }) => {
                let sorted = sort_mode.or(self.sort).is_some_and(|mode| mode != SortMode::NoSort);
                let rows = match self.values_apart {
                    true => rows.into_iter().flatten().map(|value| vec![value]).collect(),
                    false => rows,
                };
                match compare(&rows, results) {
                    Match::Ordered => Verdict::Passed,
                    Match::Unordered if !in_order || sorted => Verdict::Passed,
                    Match::Unordered if self.is_other_tie(&query, record, results) => Verdict::Passed,
                    Match::Unordered => {
                        Verdict::Wrong(compare::difference("the same rows in another order", &rows, results))
                    }
                    Match::Different if self.is_free_choice(&query, record, &rows, results) => {
                        Verdict::Passed
                    }
                    Match::Different if differs::is_postgres(&self.records, &self.uses, at, &rows) => {
                        Verdict::Skipped("PostgreSQL, too, answers otherwise than the suite".into())
                    }
                    Match::Different if query.contains("arrow_typeof") => {
                        Verdict::Skipped("arrow_typeof: types are named and chosen in other ways".into())
                    }
                    Match::Different => Verdict::Wrong(compare::difference("other rows", &rows, results)),
                }
            }
            // DataFusion answers the number of rows that a statement changed.
            (None, Output::Statement { count, .. }, QueryExpect::Results { results, .. })
                if *results == [count.to_string()] =>
            {
                Verdict::Passed
            }
            (None, _, QueryExpect::Results { results, .. }) if results.is_empty() => Verdict::Passed,
            (None, _, QueryExpect::Results { .. }) => {
                Verdict::Wrong("no rows where rows are expected".into())
            }
        }
    }

    /// Runs a record; a panic is caught and told.
    fn apply(&mut self, record: Record) -> Result<Output, String> {
        catch_unwind(AssertUnwindSafe(|| {
            let future = pin!(self.runner.apply_record(record));
            match future.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(output) => output,
                Poll::Pending => unreachable!("a connection answers before it returns"),
            }
        }))
        .map_err(|panic| panic_text(panic.as_ref()))
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panic: {}", text.unwrap_or_default())
}

/// Whether the suite lacks a file.
fn is_missing_data(why: &str) -> bool {
    why.starts_with("CSV: ")
}

fn after(why: &str) -> String {
    match why.starts_with("after: ") {
        true => why.to_owned(),
        false => format!("after: {why}"),
    }
}

/// The outcome of a record.
pub fn outcome(mode: Mode, record: &Record, verdict: Verdict) -> Outcome {
    Outcome {
        mode,
        is_query: matches!(record, Record::Query { .. }),
        place: place_of(record).unwrap_or_default(),
        sql: sql_of(record).to_owned(),
        verdict,
    }
}

fn place_of(record: &Record) -> Option<String> {
    match record {
        Record::Statement { loc, .. } | Record::Query { loc, .. } | Record::Let { loc, .. } => {
            Some(format!("{}:{}", loc.file(), loc.line()))
        }
        _ => None,
    }
}

/// The text of a statement or query; of others none.
pub fn sql_of(record: &Record) -> &str {
    match record {
        Record::Statement { sql, .. } | Record::Query { sql, .. } => sql,
        _ => "",
    }
}

fn with_sql(record: &Record, text: &str) -> Record {
    let mut record = record.clone();
    if let Record::Statement { sql, .. } | Record::Query { sql, .. } = &mut record {
        *sql = text.to_owned();
    }
    record
}

/// Whether a record is a query that answers rows, which a view can hold.
pub fn is_viewable(record: &Record) -> bool {
    let Record::Query { sql, expected: QueryExpect::Results { .. }, .. } = record else { return false };
    script::effect(sql) == Effect::Query
}

fn error_of(output: &Output) -> Option<Verdict> {
    let (Output::Query { error, .. } | Output::Statement { error, .. }) = output else { return None };
    let error = error.as_ref()?;
    Some(match error.downcast_ref::<DeclareError>() {
        Some(DeclareError::Internal(text) | DeclareError::Unavailable(text)) => {
            Verdict::Wrong(format!("fails inside: {text}"))
        }
        Some(DeclareError::Syntax { message, .. }) => Verdict::Refused(format!("syntax: {message}")),
        Some(DeclareError::Unsupported(text)) => Verdict::Refused(text.clone()),
        _ => Verdict::Refused(format!("invalid: {error}")),
    })
}

/// Whether a statement is expected to do what it says.
pub fn is_expected_ok(expected: &StatementExpect) -> bool {
    !matches!(expected, StatementExpect::Error(_))
}
