//! `CREATE OR REPLACE MATERIALIZED VIEW`: the new version is built beside the old one, which serves until then.
use super::{PAUSE_MAX, PAUSE_MIN, Process};
use crate::ticker::{Command, Replace, maintainable};
use dataflows::engine::Beside;
use queries::api::host::{DeclareError, QueryKind};
use queries::catalogue::Entry;
use queries::{Catalogue, Compiled, Declared};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};

/// The views whose new versions are being built, each with the names that it reads.
pub(super) type Replacing = BTreeMap<Arc<str>, BTreeSet<String>>;

impl Process {
    /// The materialized view that a text is to replace; `next` is the catalogue with it.
    pub(super) fn replaced(
        catalogue: &Catalogue,
        declared: &[Declared],
    ) -> Result<Option<Arc<Compiled>>, DeclareError> {
        let is_there = |one: &&Declared| {
            catalogue.get(one.name()).is_some_and(|known| known.kind() == QueryKind::MaterializedView)
        };
        match (declared.iter().find(is_there), declared) {
            (None, _) => Ok(None),
            (Some(Declared::MaterializedView(compiled)), [_]) => Ok(Some(compiled.clone())),
            (Some(other), _) => Err(DeclareError::Unsupported(format!(
                "CREATE OR REPLACE of {:?} must stand alone: the old version serves while the new one is built; give the other \
                 statements before it or after it",
                other.name()
            ))),
        }
    }

    /// What is being replaced, or read by what is being built, must stay as it is meanwhile.
    pub(super) fn unless_replacing<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<(), DeclareError> {
        let replacing = self.replacing();
        for name in names {
            let user = replacing.iter().find(|(view, reads)| ***view == *name || reads.contains(name));
            if let Some((view, _)) = user {
                return Err(DeclareError::Conflict(format!(
                    "a new version of view {view:?} is being built, and {name:?} must stay as it is until then: try again later"
                )));
            }
        }
        Ok(())
    }

    /// What is declared must not read the old version of a view that is being replaced, nor be one.
    pub(super) fn unless_replaced<'n>(
        &self,
        entries: impl IntoIterator<Item = &'n Entry>,
    ) -> Result<(), DeclareError> {
        let names: BTreeSet<Arc<str>> = self.replacing().keys().cloned().collect();
        let is_one = |entry: &Entry| {
            names
                .iter()
                .find(|name| *entry.declared.name() == **name || entry.uses.contains(&***name))
                .cloned()
        };
        match entries.into_iter().find_map(is_one) {
            Some(name) => self.unless_replacing([&*name]),
            None => Ok(()),
        }
    }

    /// Builds the new version and exchanges it. Blocks until it stands; where it fails all is as it was.
    pub(super) fn replace(
        &self,
        catalogue: MutexGuard<'_, Catalogue>,
        next: &Catalogue,
        sql: String,
        compiled: &Arc<Compiled>,
    ) -> Result<Vec<String>, DeclareError> {
        let name = compiled.view.name.clone();
        self.unless_replacing([&*name])?;
        let reads = next.entry(&name).map(|entry| entry.uses.clone()).unwrap_or_default();
        self.unless_replaced(next.entry(&name))?;
        self.replacing().insert(name.clone(), reads);
        // Others go on meanwhile; what this one depends on is guarded by the list.
        drop(catalogue);
        let made = self.build(&name, &sql, compiled);
        self.replacing().remove(&name);
        made?;
        Ok(vec![name.to_string()])
    }

    fn build(&self, name: &Arc<str>, sql: &str, compiled: &Arc<Compiled>) -> Result<(), DeclareError> {
        let step = |step: Replace| self.command(|done| Command::Replace { step, done });
        step(Replace::Build(compiled.view.clone(), compiled.plan.clone()))?;
        let built = self.built(name).and_then(|()| {
            let mut catalogue = self.shared.catalogue.lock().expect("no thread panics with the catalogue");
            let mut next = catalogue.clone();
            let declared = next.declare(sql)?;
            maintainable(&declared).map_err(DeclareError::Unsupported)?;
            let is_same = matches!(&declared[..], [Declared::MaterializedView(now)] if format!("{:?}", now.plan) == format!("{:?}", compiled.plan));
            if !is_same {
                return Err(DeclareError::Conflict(format!(
                    "cannot replace view {name:?}: what its statement reads has changed meanwhile; try again"
                )));
            }
            let time = step(Replace::Finish { sql: sql.to_owned(), name: name.clone() })?;
            *catalogue = next;
            Ok(time)
        });
        match built {
            Ok(time) => {
                self.wait_seen(time);
                Ok(())
            }
            Err(why) => {
                // A process that is stopping builds nothing any more.
                _ = step(Replace::Abandon(name.clone()));
                Err(why)
            }
        }
    }

    /// Waits until the first rows of the new version are complete, however long that takes.
    fn built(&self, name: &Arc<str>) -> Result<(), DeclareError> {
        let mut pause = PAUSE_MIN;
        loop {
            let beside =
                self.shared.collector.lock().expect("no thread panics with the collector").beside(name);
            match beside {
                Some(Beside::Built) => return Ok(()),
                Some(Beside::Building) => {}
                Some(Beside::Failed(why)) => {
                    return Err(DeclareError::Invalid(format!(
                        "cannot replace view {name:?}: its new version fails, and the old one stands: {why}"
                    )));
                }
                None => return Err(DeclareError::Internal(format!("the new version of {name:?} is gone"))),
            }
            // What was built is told with the next tick, which would not come for a while if nothing else happens.
            self.command(|done| Command::Tick { done })?;
            let stopped = self.shared.visible.wait(Some(pause), |reach| reach.stopping);
            if stopped.map_err(|why| DeclareError::Unavailable(why.to_string()))? {
                return Err(DeclareError::Unavailable("the process is stopping".into()));
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn replacing(&self) -> MutexGuard<'_, Replacing> {
        self.replacing.lock().expect("no thread panics with the list")
    }
}
