//! What the HTTP API and SQL ask of the sinks.
use super::compare::{self, Compared};
use super::outlet::Outlet;
use super::spec::Spec;
use super::thread::Running;
use crate::Error;
use crate::ticker::Shared;
use queries::Declared;
use queries::api::host::{DeclareError, SinkDeclaration, SinkReport, SinkStatus};
use std::sync::Arc;
use std::time::Duration;

/// How long a statement waits for the store, to say at once what is wrong with it.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// Declares a sink. A store that refuses for good is not kept; one that cannot be reached is tried again.
pub fn create(shared: &Shared, declared: &SinkDeclaration) -> Result<(), DeclareError> {
    let catalogue = shared.catalogue.lock().expect("no thread panics with the catalogue").clone();
    for view in declared.views.iter().flatten() {
        match catalogue.get(view) {
            Some(Declared::MaterializedView(_)) => {}
            Some(_) => {
                return Err(DeclareError::Invalid(format!(
                    "a sink keeps materialized views, and {view:?} is none: write CREATE MATERIALIZED VIEW .. AS SELECT * FROM {view}"
                )));
            }
            None => return Err(DeclareError::NotFound(format!("there is no view {view:?}"))),
        }
    }
    if shared.outlets.get(&declared.name).is_some() {
        let name = &declared.name;
        return Err(DeclareError::Conflict(format!("there is a sink {name:?} already: drop it first")));
    }
    let SinkDeclaration { name, views, kind, options } = declared.clone();
    let spec = Spec { name: name.clone(), kind, views, options };
    shared.outlets.create(spec).map_err(|why| DeclareError::Invalid(why.to_string()))?;
    if let Some(running) = shared.outlets.get(&name) {
        running.wait(FIRST_WAIT, Outlet::was_opened);
        let stopped = match running.outlet().state() {
            ("stopped", why) => Some(why.unwrap_or_default().to_owned()),
            _ => None,
        };
        if let Some(why) = stopped {
            shared.outlets.drop_sink(&name).map_err(|why| DeclareError::Unavailable(why.to_string()))?;
            return Err(DeclareError::Invalid(format!("cannot create sink {name:?}: {why}")));
        }
    }
    Ok(())
}

/// Drops a sink that SQL declared; whether there was one.
pub fn drop_sink(shared: &Shared, name: &str) -> Result<bool, DeclareError> {
    shared.outlets.drop_sink(name).map_err(|why| match why {
        Error::Usage(text) | Error::Failed(text) => DeclareError::Conflict(text),
    })
}

/// Every sink, and where it is.
pub fn list(shared: &Shared) -> Vec<SinkStatus> {
    let now = shared.memory.read().time();
    shared.outlets.all().iter().map(|running| status(running, now)).collect()
}

fn status(running: &Arc<Running>, now: Option<u64>) -> SinkStatus {
    let spec = &running.spec;
    let outlet = running.outlet();
    let ((state, error), figures, time) = (outlet.state(), outlet.figures(), outlet.time());
    SinkStatus {
        name: spec.name.clone(),
        kind: spec.kind.clone(),
        views: spec.views.clone(),
        state,
        time,
        lag_ms: time.zip(now).map(|(time, now)| now.saturating_sub(time)),
        waiting_keys: outlet.waiting_keys(),
        deliveries: figures.deliveries,
        reloads: figures.whole,
        retries: figures.retries,
        error: error.map(str::to_owned).or_else(|| running.warning()),
    }
}

/// How long a comparison waits for a process that has only just started.
const WAIT_RESTORED: Duration = Duration::from_secs(60);

/// Compares stores with the views, and mends them if asked to.
pub fn check(shared: &Shared, only: Option<&str>, repair: bool) -> Result<Vec<SinkReport>, DeclareError> {
    if let Some(name) = only
        && shared.outlets.get(name).is_none()
    {
        return Err(DeclareError::NotFound(format!("there is no sink {name:?}")));
    }
    // Before the log was read again there is nothing to compare with.
    let has_views = shared
        .visible
        .wait(Some(WAIT_RESTORED), |reach| reach.restored && shared.memory.read().time().is_some());
    if !has_views.map_err(|why| DeclareError::Unavailable(why.to_string()))? {
        return Err(DeclareError::Unavailable("the log is still being read again: try again later".into()));
    }
    let mut found = compare::running(&shared.outlets, &shared.memory, only);
    if repair {
        compare::repair(&shared.outlets, &mut found);
    }
    Ok(found.into_iter().map(report).collect())
}

fn report(found: Compared) -> SinkReport {
    let differences = found.differences.into_iter().map(|one| (one.row, one.expected, one.actual)).collect();
    let Compared { sink, view, time, rows, problem, repaired, .. } = found;
    SinkReport { sink, view, time, rows, differences, problem, repaired }
}
