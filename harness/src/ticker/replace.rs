//! How a new version of a view takes the place of the old one: it is built beside it, then exchanged between two ticks.
use super::Ticker;
use crate::Error;
use crate::statements::{Act, Statement};
use dataflows::{Plan, Time, View};
use queries::catalogue::Change;
use std::sync::Arc;

/// A step on the way to a new version of a view.
pub enum Replace {
    /// Begins to build it.
    Build(Arc<View>, Arc<Plan>),
    /// Keeps the statement; the next tick holds all its rows in place of the old ones.
    Finish {
        /// The statement.
        sql: String,
        /// The view.
        name: Arc<str>,
    },
    /// Lets it go: the old one was there all the time.
    Abandon(Arc<str>),
}

impl Ticker {
    /// Does a step; the time from which on it counts.
    pub(super) fn replace(&mut self, step: Replace) -> Result<Result<Time, Error>, Error> {
        match step {
            Replace::Build(view, plan) => {
                self.with_collector(|collector| collector.create_beside(&view));
                self.with_engine(|engine| engine.create_beside(view, plan));
            }
            Replace::Finish { sql, name } => {
                let statement = Statement { after: self.clock.last(), act: Act::Declare(sql.clone()) };
                if let Err(why) = self.statements.append(&statement) {
                    return Ok(Err(why));
                }
                self.note(Change::Declare(sql.into()));
                self.with_collector(|collector| collector.replace(&name));
                self.with_engine(|engine| engine.replace_view(&name));
            }
            Replace::Abandon(name) => {
                self.with_collector(|collector| collector.drop_beside(&name));
                self.with_engine(|engine| engine.drop_beside(&name));
            }
        }
        Ok(Ok(self.tick_nothing()?))
    }

    fn with_collector<T>(&self, act: impl FnOnce(&mut dataflows::engine::Collector) -> T) -> T {
        act(&mut self.shared.collector.lock().expect("no thread panics with the collector"))
    }
}
