//! `tallyflow explain`: the stages of a view, down to the operators that keep it.
use super::Explain;
use crate::Error;
use crossbeam_channel::unbounded;
use dataflows::engine::Engine;
use queries::{Catalogue, Declared};
use std::io::Write;

pub(super) fn run(explain: &Explain) -> Result<(), Error> {
    let refused =
        |why: &dyn std::fmt::Display| Error::failed(format!("load catalogue {}", explain.catalog), why);
    let catalogue = Catalogue::load(&explain.catalog).map_err(|why| refused(&why))?;
    let text = queries::explain::explain(&catalogue, &explain.what);
    let mut text = text.map_err(|why| Error::failed(format!("explain '{}'", explain.what), why))?;
    let name = explain.what.trim();
    if let Some(Declared::MaterializedView(_)) = catalogue.get(name) {
        text.push_str("\nOperators\n");
        text.push_str(&operators(&catalogue, name)?);
    }
    // Who reads only the first lines closes the pipe: no failure.
    _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// The whole catalogue is rendered: what a view shares depends on the views beside it.
fn operators(catalogue: &Catalogue, view: &str) -> Result<String, Error> {
    let (output, outputs) = unbounded();
    let engine = Engine::start(1, output).map_err(|why| Error::failed("start the engine", why))?;
    for entry in catalogue.entries() {
        match &entry.declared {
            Declared::Table(mapping) => engine.create_table(mapping.table.clone()),
            Declared::View { .. } => {}
            Declared::MaterializedView(compiled) => {
                engine.create_view(compiled.view.clone(), compiled.plan.clone())
            }
        }
    }
    // A worker describes itself after it has answered a tick, and before it answers the next.
    for time in [1, 2] {
        engine.tick(time, vec![]);
        while outputs.recv().is_ok_and(|output| output.told < time) {}
    }
    let text = engine.describe(view);
    engine.shutdown();
    Ok(text)
}
