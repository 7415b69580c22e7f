//! `Tallyflow`: all of it inside a program of yours, without a server.
use crate::Error;
use crate::data::Data;
use crate::pipeline::{Pipeline, STATE_BYTES_MAX, Setting};
use crate::ticks::End;
use queries::DeclareError;
use queries::session::{Answer, Limits, Session};
use std::path::PathBuf;

/// How it runs.
#[derive(Clone)]
pub struct Config {
    /// Where its data is; none: in a temporary directory, which goes with it.
    pub data: Option<PathBuf>,
    /// What is declared when the data is made: a shipped catalogue or a folder; none: nothing.
    pub catalogue: Option<String>,
    /// Threads of the engine.
    pub workers: usize,
    /// Events in a tick, at most.
    pub tick_events: usize,
    /// What one statement may use.
    pub limits: Limits,
    /// What the state of one view may take, about; a view that needs more is stopped, and has an error in place of its rows.
    pub state_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data: None,
            catalogue: None,
            workers: 1,
            tick_events: 65_536,
            limits: Limits::default(),
            state_bytes_max: STATE_BYTES_MAX,
        }
    }
}

/// A running engine with its log, its tables and its views.
///
/// ```no_run
/// let tallyflow = harness::Tallyflow::open(harness::Config::default())?;
/// tallyflow.execute("CREATE TABLE sales (region TEXT, amount NUMERIC(10, 2))")?;
/// tallyflow.execute("CREATE MATERIALIZED VIEW totals AS SELECT region, sum(amount) AS total FROM sales GROUP BY region")?;
/// tallyflow.execute("INSERT INTO sales VALUES ('north', 10.5), ('north', 1)")?;
/// let totals = tallyflow.execute("SELECT * FROM totals")?;
/// tallyflow.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Tallyflow {
    pipeline: Pipeline,
    session: Session,
}

/// The name of the catalogue in which nothing is declared.
const NOTHING: &str = "empty";

impl Tallyflow {
    /// Opens the data, or makes it, and starts the engine. What was declared and written before is there again.
    pub fn open(config: Config) -> Result<Tallyflow, Error> {
        let data = match &config.data {
            Some(path) => {
                let known = Data::catalogue_of(path)?;
                let catalogue = config.catalogue.or(known).unwrap_or_else(|| NOTHING.into());
                Data::open(path, Some(&catalogue))?
            }
            None => Data::temporary(Some(config.catalogue.as_deref().unwrap_or(NOTHING)))?,
        };
        let mut setting = Setting::serve(config.workers, config.tick_events);
        // One writer waits for each of its statements: there is nothing to gather.
        setting.pace.wait = Some(std::time::Duration::from_millis(1));
        setting.limits = config.limits;
        setting.state_bytes_max = config.state_bytes_max;
        let pipeline = Pipeline::start(data, &setting)?;
        let ends = pipeline.log().ends();
        pipeline.visible().wait(None, |reach| reach.restored && reach.covers(&ends))?;
        let session = pipeline.session();
        Ok(Tallyflow { pipeline, session })
    }

    /// Runs each statement of a text, in order. The first error ends it; what was done before it stays done.
    pub fn execute(&self, sql: &str) -> Result<Vec<Answer>, DeclareError> {
        self.session.execute(sql)
    }

    /// For threads of their own.
    pub fn session(&self) -> Session {
        self.session.clone()
    }

    /// The threads behind it.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Stops after what was acknowledged.
    pub fn close(self) -> Result<(), Error> {
        self.pipeline.finish(End::Now).map(|_| ())
    }
}
