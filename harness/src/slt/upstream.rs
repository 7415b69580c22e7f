//! A script with its views created before the data: each view of its own, and one per query, as soon as the tables exist that
//! it names. Each is read where the script reads it.
use super::Mode;
use super::report::Verdict;
use super::run::{self, Record, Report, Run};
use super::script::{self, Effect};
use sqllogictest::StatementExpect;
use std::collections::{BTreeMap, BTreeSet};

/// So many views of queries are kept at a time; others are created when their turn comes.
const VIEWS_MAX: usize = 60;

struct Upstream<'a> {
    run: &'a mut Run,
    /// How often each name was created, and whether it is there.
    names: BTreeMap<String, (usize, bool)>,
    /// Views and queries that still wait for their tables.
    waiting: BTreeSet<usize>,
    /// What became of views and queries that were created early.
    early: BTreeMap<usize, Verdict>,
    /// How many views of queries there are.
    views: usize,
}

/// Runs the script.
pub fn run(run: &mut Run, report: Report) {
    let waits = |at: &usize| match &run.records()[*at] {
        Record::Statement { sql, expected, .. } => {
            run::is_expected_ok(expected) && matches!(script::effect(sql), Effect::View(_))
        }
        record => run::is_viewable(record) && !run.uses(*at).is_empty(),
    };
    let waiting = (0..run.records().len()).filter(waits).collect();
    let mut upstream = Upstream { run, names: BTreeMap::new(), waiting, early: BTreeMap::new(), views: 0 };
    upstream.all(report);
}

impl Upstream<'_> {
    fn all(&mut self, report: Report) {
        for at in 0..self.run.records().len() {
            let record = self.run.records()[at].clone();
            if !self.run.arrive(&record) {
                break;
            }
            self.waiting.remove(&at);
            let verdict = match &record {
                Record::Statement { sql, expected, .. } => Some(self.statement(at, sql, expected)),
                Record::Query { .. } => self.query(at, &record),
                _ => None,
            };
            if let Some(verdict) = verdict {
                report(run::outcome(Mode::Upstream, &record, verdict));
            }
        }
    }

    fn statement(&mut self, at: usize, sql: &str, expected: &StatementExpect) -> Verdict {
        if let Some(verdict) = self.early.remove(&at) {
            return verdict;
        }
        match script::effect(sql) {
            Effect::Table(name) if run::is_expected_ok(expected) => self.table(at, sql, name, expected),
            Effect::View(name) => {
                let verdict = self.run.statement(at, sql, expected);
                if verdict == Verdict::Passed && run::is_expected_ok(expected) {
                    self.created(name);
                    self.create_early();
                }
                verdict
            }
            Effect::Drop(dropped) => {
                let verdict = self.run.statement(at, sql, expected);
                if verdict == Verdict::Passed && run::is_expected_ok(expected) {
                    for name in dropped {
                        self.names.entry(name).and_modify(|(_, there)| *there = false);
                    }
                    self.create_early();
                }
                verdict
            }
            _ => self.run.statement(at, sql, expected),
        }
    }

    /// Creates a table empty where that can be, then the views that waited for it, then fills it.
    fn table(&mut self, at: usize, sql: &str, name: String, expected: &StatementExpect) -> Verdict {
        let csv = self.run.csv(sql);
        let parts = match csv {
            Some(Ok(statements)) => statements,
            Some(Err(why)) => return self.run.note(at, sql, Verdict::Skipped(format!("CSV: {why}"))),
            None => match script::split_as(sql) {
                Some(parts) => parts.to_vec(),
                None => vec![sql.to_owned()],
            },
        };
        let mut verdict = self.run.single(at, &parts[0], expected);
        if verdict != Verdict::Passed && parts.len() == 2 {
            // What cannot be made empty is made whole.
            let verdict = self.run.statement(at, sql, expected);
            if verdict == Verdict::Passed {
                self.created(name);
                self.create_early();
            }
            return verdict;
        }
        if verdict == Verdict::Passed {
            self.run.note(at, sql, Verdict::Passed);
            self.created(name);
            self.create_early();
        }
        for part in &parts[1..] {
            if verdict == Verdict::Passed {
                // The count that the script expects is that of the whole statement.
                verdict = self.run.single(at, part, &StatementExpect::Ok);
            }
        }
        self.run.note(at, sql, verdict)
    }

    fn query(&mut self, at: usize, record: &Record) -> Option<Verdict> {
        let sql = run::sql_of(record);
        if matches!(script::effect(sql), Effect::Change(_)) {
            let verdict = self.run.query(at, record);
            return Some(self.run.note(at, sql, verdict));
        }
        if !run::is_viewable(record) || self.run.uses(at).is_empty() {
            return None;
        }
        let verdict = match self.early.remove(&at) {
            Some(Verdict::Passed) => {
                self.views -= 1;
                self.run.read_view(at, record, &view_name(at))
            }
            Some(verdict) => verdict,
            None => match self.run.create_view(at, &view_name(at)) {
                Verdict::Passed => self.run.read_view(at, record, &view_name(at)),
                verdict => verdict,
            },
        };
        Some(self.run.excuse(at, verdict))
    }

    fn created(&mut self, name: String) {
        let (times, there) = self.names.entry(name).or_default();
        *times += 1;
        *there = true;
    }

    /// Creates all that waited and has what it names; views may be what others wait for.
    fn create_early(&mut self) {
        loop {
            let ready = self.waiting.iter().copied().filter(|at| self.is_ready(*at)).collect::<Vec<_>>();
            let mut new_view = false;
            for at in ready {
                let record = self.run.records()[at].clone();
                match &record {
                    Record::Statement { sql, expected, .. } => {
                        self.waiting.remove(&at);
                        // A view that cannot be created now is tried again at its own place.
                        if self.run.single(at, sql, expected) == Verdict::Passed
                            && let Effect::View(name) = script::effect(sql)
                        {
                            self.run.note(at, sql, Verdict::Passed);
                            self.early.insert(at, Verdict::Passed);
                            self.created(name);
                            new_view = true;
                        }
                    }
                    _ if self.views < VIEWS_MAX => {
                        self.waiting.remove(&at);
                        let verdict = self.run.create_view(at, &view_name(at));
                        self.views += usize::from(verdict == Verdict::Passed);
                        self.early.insert(at, verdict);
                    }
                    _ => {}
                }
            }
            if !new_view {
                return;
            }
        }
    }

    /// Whether all that a record names is there, and is what the record means by it.
    fn is_ready(&self, at: usize) -> bool {
        let own = match script::effect(run::sql_of(&self.run.records()[at])) {
            Effect::View(name) => Some(name),
            _ => None,
        };
        self.run.uses(at).iter().all(|(name, times)| {
            let (so_far, there) = self.names.get(name).copied().unwrap_or_default();
            match own.as_ref() == Some(name) {
                true => !there && so_far + 1 == *times,
                false => there && so_far == *times,
            }
        })
    }
}

fn view_name(at: usize) -> String {
    format!("__up_{at}")
}
