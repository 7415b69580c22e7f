//! Runs a world in the engine and in PostgreSQL, and says what differs.
use super::compare::{Row, difference, rows_of, shown};
use super::oracle::Oracle;
use super::world::{Query, Statement, World};
use harness::{Config, Tallyflow};
use queries::DeclareError;
use queries::session::Answer;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Something that differs.
#[derive(Clone, Debug)]
pub struct Failure {
    /// In what way: a smaller world fails in the same.
    pub way: String,
    /// The place of the query; none where a statement differs.
    pub query: Option<usize>,
    pub text: String,
}

/// What came of a world.
#[derive(Default)]
pub struct Outcome {
    pub failures: Vec<Failure>,
    /// Queries that PostgreSQL takes, and reads of them.
    pub taken: usize,
    pub compared: usize,
    /// Queries that PostgreSQL does not take, by reason.
    pub rejected: BTreeMap<String, usize>,
    /// Views that the engine does not take, by reason.
    pub refused: BTreeMap<String, usize>,
    /// One query of each reason.
    pub examples: BTreeMap<String, String>,
}

impl Outcome {
    pub fn add(&mut self, other: Outcome) {
        self.failures.extend(other.failures);
        self.taken += other.taken;
        self.compared += other.compared;
        for (reason, count) in other.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
        for (reason, count) in other.refused {
            *self.refused.entry(reason).or_default() += count;
        }
        for (reason, example) in other.examples {
            self.examples.entry(reason).or_insert(example);
        }
    }
}

/// A reason without the names and numbers in it.
fn reason(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(110) {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            c => out.push(c),
        }
    }
    out
}

fn named(why: &DeclareError) -> String {
    let kind = match why {
        DeclareError::Unsupported(_) => "unsupported",
        DeclareError::Invalid(_) => "invalid",
        DeclareError::Internal(_) => "internal",
        DeclareError::Syntax { .. } => "syntax",
        _ => "other",
    };
    format!("{kind}: {why}")
}

/// Errors of DataFusion that are known: what it cannot plan, and sorts that it takes for others after a filter `f(x) = x`.
const BATCH_REFUSES: &[&str] = &["unsupported: ", "does not satisfy order requirements"];

struct Runner<'a> {
    world: &'a World,
    engine: Tallyflow,
    oracle: Option<&'a Oracle>,
    outcome: Outcome,
    /// Whether each query is still looked at, and whether its view is there.
    live: Vec<bool>,
    views: Vec<bool>,
    /// Whether it is also run in batch.
    batches: Vec<bool>,
    panicked: bool,
}

/// Runs a world; all tables of the oracle go to a schema of its own.
pub fn run(world: &World, oracle: Option<&Oracle>) -> Outcome {
    let engine = Tallyflow::open(Config { workers: world.workers, ..Config::default() }).unwrap();
    if let Some(oracle) = oracle {
        let fresh = "DROP SCHEMA IF EXISTS world CASCADE; CREATE SCHEMA world; SET search_path = world";
        oracle.execute(&fresh.replace("world", &format!("w{}", world.seed))).unwrap();
    }
    let count = world.queries.len();
    let mut runner = Runner {
        world,
        engine,
        oracle,
        outcome: Outcome::default(),
        live: vec![true; count],
        views: vec![false; count],
        batches: vec![true; count],
        panicked: false,
    };
    runner.run();
    let failure = runner.engine.pipeline().visible().now().failure;
    if let Some(oracle) = oracle {
        oracle.execute(&format!("DROP SCHEMA w{} CASCADE", world.seed)).unwrap();
    }
    let Runner { engine, mut outcome, panicked, .. } = runner;
    let failure = match failure {
        // It is not closed, since its threads may wait for each other.
        _ if panicked => {
            std::mem::forget(engine);
            None
        }
        Some(why) => {
            std::mem::forget(engine);
            Some(why)
        }
        None => engine.close().err(),
    };
    if let Some(why) = failure {
        let why = why.to_string();
        let query = why.split("view \"v").nth(1).and_then(|rest| rest.split('"').next()?.parse().ok());
        let sql = query.map_or(String::new(), |i: usize| format!("{}\n", world.queries[i].sql));
        outcome.failures = vec![Failure {
            way: "stopped".into(),
            query,
            text: format!("{sql}    the engine stopped: {why}"),
        }];
    }
    outcome
}

impl Runner<'_> {
    fn run(&mut self) {
        for ddl in &self.world.tables {
            self.engine.execute(ddl).unwrap();
            if let Some(oracle) = self.oracle {
                oracle.execute(ddl).unwrap();
            }
        }
        self.taken();
        for (step, statements) in self.world.steps.iter().enumerate() {
            self.declare(step);
            if self.has_stopped() {
                return;
            }
            for statement in statements {
                if !self.change(statement) || self.has_stopped() {
                    return;
                }
            }
            for i in 0..self.live.len() {
                if self.live[i] {
                    self.compare(i, step);
                }
                if self.panicked {
                    return;
                }
            }
        }
    }

    /// Runs a statement; a panic is an error, after which the engine is left alone.
    fn execute(&mut self, sql: &str) -> Result<Vec<Answer>, DeclareError> {
        let engine = &self.engine;
        let run = std::panic::AssertUnwindSafe(|| engine.execute(sql));
        std::panic::catch_unwind(run).unwrap_or_else(|why| {
            let text = why.downcast_ref::<String>().cloned().unwrap_or_default();
            self.panicked = true;
            Err(DeclareError::Internal(format!("panicked: {text}")))
        })
    }

    fn has_stopped(&self) -> bool {
        self.panicked || self.engine.pipeline().visible().now().failure.is_some()
    }

    /// Leaves out what PostgreSQL does not take.
    fn taken(&mut self) {
        let world = self.world;
        for (i, query) in world.queries.iter().enumerate() {
            if let Some(oracle) = self.oracle
                && let Err(why) = oracle.execute(&format!("EXPLAIN {}", query.sql))
            {
                let reason = reason(&why);
                self.outcome.examples.entry(reason.clone()).or_insert_with(|| query.sql.clone());
                *self.outcome.rejected.entry(reason).or_default() += 1;
                self.live[i] = false;
                continue;
            }
            self.outcome.taken += 1;
            if let Err(why) = self.engine.session().describe(&query.sql) {
                self.refuse(i, &why);
            }
        }
    }

    fn refuse(&mut self, i: usize, why: &DeclareError) {
        let reason = reason(&named(why));
        self.outcome.examples.entry(reason.clone()).or_insert_with(|| self.world.queries[i].sql.clone());
        *self.outcome.refused.entry(reason).or_default() += 1;
        self.live[i] = false;
    }

    fn declare(&mut self, step: usize) {
        let world = self.world;
        for (i, query) in world.queries.iter().enumerate() {
            let Query { sql, from_step } = query;
            if *from_step != step || !self.live[i] {
                continue;
            }
            match self.execute(&format!("CREATE MATERIALIZED VIEW v{i} AS {sql}")) {
                Ok(_) => self.views[i] = true,
                Err(why) if self.panicked => {
                    let text = format!("{sql}\n    {why}");
                    self.outcome.failures.push(Failure { way: "panic".into(), query: Some(i), text });
                    return;
                }
                Err(why) => {
                    self.refuse(i, &why);
                }
            }
        }
    }

    /// Carries out a statement in both; false where that came out differently.
    fn change(&mut self, statement: &Statement) -> bool {
        let sql = statement.sql();
        let ours = match self.execute(&sql) {
            Ok(answers) => match answers.last() {
                Some(Answer::Done { tag }) => Ok(tag.split(' ').next_back().unwrap_or_default().to_owned()),
                _ => Ok(String::new()),
            },
            Err(why) => Err(why.to_string()),
        };
        let Some(oracle) = self.oracle else { return true };
        let theirs = oracle.execute(&sql).map(|(_, touched)| touched.to_string());
        match (&ours, &theirs) {
            (Ok(a), Ok(b)) if a == b => true,
            (Err(_), Err(_)) => true,
            _ => {
                let text = format!("{sql}\n    engine {ours:?}\n    PostgreSQL {theirs:?}");
                self.outcome.failures.push(Failure { way: "statement".into(), query: None, text });
                false
            }
        }
    }

    fn engine_rows(&mut self, sql: &str) -> Result<Vec<Row>, String> {
        self.execute(sql).map(|answers| rows_of(&answers)).map_err(|why| named(&why))
    }

    fn compare(&mut self, i: usize, step: usize) {
        let world = self.world;
        let sql = &world.queries[i].sql;
        let mut answers = vec![];
        if let Some(oracle) = self.oracle {
            let theirs = oracle.execute(sql).map(|(rows, _)| rows);
            if theirs.as_ref().is_err_and(|why| why.starts_with("57014")) {
                self.live[i] = false;
                return;
            }
            answers.push(("PostgreSQL", theirs));
        }
        if self.views[i] {
            answers.push(("view", self.engine_rows(&format!("SELECT * FROM v{i}"))));
        }
        if self.batches[i] {
            answers.push(("batch", self.engine_rows(sql)));
        }
        if answers.is_empty() {
            return;
        }
        let (name, wanted) = answers.remove(0);
        let (mut text, mut way) = (String::new(), String::new());
        for (other, found) in answers {
            // DataFusion cannot carry it out: that is no other answer, and the view goes on.
            if let (Ok(_), Err(why), "batch") = (&wanted, &found, other)
                && BATCH_REFUSES.iter().any(|text| why.contains(text))
            {
                let reason = reason(&format!("in batch {why}"));
                let example = || world.queries[i].sql.clone();
                self.outcome.examples.entry(reason.clone()).or_insert_with(example);
                *self.outcome.refused.entry(reason).or_default() += 1;
                self.batches[i] = false;
                continue;
            }
            let before = text.len();
            self.outcome.compared += 1;
            match (&wanted, found) {
                (Ok(wanted), Ok(found)) => {
                    let (missing, extra) = difference(wanted.clone(), found);
                    if !missing.is_empty() || !extra.is_empty() {
                        text.push_str(&format!(
                            "    only {name}:\n{}\n    only {other}:\n{}\n",
                            shown(&missing),
                            shown(&extra)
                        ));
                    }
                }
                (Err(_), Err(_)) => {}
                (Ok(_), Err(why)) => text.push_str(&format!("    {other} errs: {why}\n")),
                (Err(why), Ok(_)) => text.push_str(&format!("    {name} errs: {why}; {other} does not\n")),
            }
            if text.len() > before {
                way.push_str(&format!(
                    "{other} {}",
                    reason(text[before..].lines().next().unwrap_or_default())
                ));
            }
        }
        if !text.is_empty() {
            let text = format!(
                "{sql}\n  after step {step}, view from step {}\n{text}",
                self.world.queries[i].from_step
            );
            self.outcome.failures.push(Failure { way, query: Some(i), text });
            self.live[i] = false;
        }
    }
}

/// How long a failing world is made smaller.
const PATIENCE: Duration = Duration::from_secs(15);

/// The same world with one query and as few rows as it still fails with, and how it fails.
pub fn smaller(world: &World, failure: &Failure, oracle: Option<&Oracle>) -> (World, Failure) {
    let mut best = (world.clone(), failure.clone());
    if let Some(query) = failure.query {
        best.0.queries = vec![world.queries[query].clone()];
    }
    let began = Instant::now();
    let attempt = |candidate: World, best: &mut (World, Failure)| {
        let found = run(&candidate, oracle).failures.into_iter().find(|found| found.way == failure.way);
        let failed = found.is_some();
        if let Some(found) = found {
            *best = (candidate, found);
        }
        failed
    };
    let single = best.0.clone();
    if !attempt(single, &mut best) {
        best.0 = world.clone();
        return best;
    }
    let mut simple = best.0.clone();
    simple.workers = 1;
    attempt(simple, &mut best);
    // From the last statement to the first; then from the last row to the first.
    for step in (0..best.0.steps.len()).rev() {
        for place in (0..best.0.steps[step].len()).rev() {
            if began.elapsed() > PATIENCE {
                return best;
            }
            let mut fewer = best.0.clone();
            fewer.steps[step].remove(place);
            if attempt(fewer, &mut best) {
                continue;
            }
            let Statement::Insert { rows, .. } = &best.0.steps[step][place] else { continue };
            for row in (0..rows.len()).rev() {
                let mut fewer = best.0.clone();
                if let Statement::Insert { rows, .. } = &mut fewer.steps[step][place]
                    && rows.len() > 1
                {
                    rows.remove(row);
                    attempt(fewer, &mut best);
                }
            }
        }
    }
    best
}
