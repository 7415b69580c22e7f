//! How tables and views come into the engine and leave it, between two ticks.
use super::{BACKFILL_BYTES, READ_AGAIN, Ticker};
use crate::Error;
use dataflows::{Mode, Plan, Table, View};
use queries::Declared;
use queries::api::host::QueryKind;
use queries::catalogue::Change;
use queries::catalogue::system::is_system;
use sources::decode::{Decoder, Mapping};
use sources::{Source, SourceError};
use std::sync::Arc;

impl Ticker {
    /// Brings tables and views into the engine. A new table catches up with the log in its first tick.
    pub fn install<'a>(&mut self, declared: impl IntoIterator<Item = &'a Declared>) -> Result<(), Error> {
        for one in declared {
            match one {
                Declared::Table(mapping) if is_system(&mapping.table.name) => {
                    self.recorder.table(mapping);
                    self.with_engine(|engine| engine.create_table(mapping.table.clone()));
                    self.system.push(mapping.clone());
                }
                Declared::Table(mapping) => {
                    self.recorder.table(mapping);
                    self.with_engine(|engine| engine.create_table(mapping.table.clone()));
                    let mut mappings = self.mappings();
                    mappings.push(mapping.clone());
                    self.set_tables(mappings);
                    match mapping.table.mode {
                        Mode::Append | Mode::Latest { .. } => self.catch_up(mapping)?,
                        // Nothing was written to it before it was there.
                        Mode::Changes { .. } => self.publish(&mapping.table),
                    }
                }
                Declared::View { .. } => {}
                Declared::MaterializedView(compiled) => {
                    self.show(&compiled.view, compiled.plan.clone());
                }
            }
        }
        Ok(())
    }

    /// Other processes have to know what was done to the catalogue before they are told of what it declares.
    pub(crate) fn note(&self, change: Change) {
        self.with_engine(|engine| engine.note(|| change.text()));
    }

    pub(super) fn take_out(&mut self, name: &str, kind: QueryKind) -> Result<(), Error> {
        match kind {
            QueryKind::View => {}
            QueryKind::Table => {
                let mappings = self.mappings().into_iter().filter(|mapping| &*mapping.table.name != name);
                self.set_tables(mappings.collect());
                self.recorder.gone(name);
                self.rows.retain(|(table, _)| &**table != name);
                self.hide(name)?;
                self.with_engine(|engine| engine.drop_table(name));
            }
            QueryKind::MaterializedView => self.hide(name)?,
        }
        Ok(())
    }

    /// Shows the rows of a table to readers, as a view of its name, unless that is being done.
    pub(super) fn publish(&mut self, table: &Arc<Table>) {
        if self.shared.collector.lock().expect("no thread panics with the collector").has(&table.name) {
            return;
        }
        let (view, plan) = shown(table);
        self.show(&view, plan);
    }

    pub(super) fn show(&mut self, view: &Arc<View>, plan: Arc<Plan>) {
        let mut collector = self.shared.collector.lock().expect("no thread panics with the collector");
        collector.create(view.clone());
        drop(collector);
        self.with_engine(|engine| engine.create_view(view.clone(), plan));
    }

    pub(super) fn hide(&mut self, name: &str) -> Result<(), Error> {
        let mut collector = self.shared.collector.lock().expect("no thread panics with the collector");
        collector.drop_view(name);
        if self.shared.memory.read().view(name).is_some() {
            self.shared.memory.drop_view(name).map_err(|why| Error::Failed(why.to_string()))?;
        }
        drop(collector);
        self.with_engine(|engine| engine.drop_view(name));
        Ok(())
    }

    /// Reads again, for one table, what was taken in before it was declared.
    pub(super) fn catch_up(&mut self, mapping: &Arc<Mapping>) -> Result<(), Error> {
        let decoder = Decoder::new(vec![mapping.clone()]);
        let tried = format!("fill table {} from the log", mapping.table.name);
        let log = self.shared.log.clone();
        let _whole = log.reading_whole(self.clock.last());
        let mut reader = log.reader();
        let position = |reader: &dyn Source, partition| {
            reader.positions().iter().find(|p| p.partition == partition).map_or(0, |p| p.offset)
        };
        let intake = self.shared.intake.clone();
        let end =
            |partition| self.positions.iter().find(|p| p.partition == partition).map_or(0, |p| p.offset);
        while let Some(short) = self.positions.iter().find(|p| position(&*reader, p.partition) < p.offset) {
            let mut records = match reader.poll_partition(short.partition, BACKFILL_BYTES) {
                Ok(records) => records,
                Err(SourceError::Retry(why)) => {
                    if self.shared.visible.wait(Some(READ_AGAIN), |reach| reach.stopping)? {
                        return Err(Error::failed(tried, why));
                    }
                    continue;
                }
                Err(why) => return Err(Error::failed(tried, why)),
            };
            if records.is_empty() && matches!(reader.ended(), Ok(true)) {
                return Err(Error::failed(tried, "it ends before what was bound"));
            }
            records.retain(|record| record.offset < end(record.partition));
            let decoded = decoder.decode(&records);
            let mut intake = intake.lock().expect("no thread panics with the intake");
            let rows = intake.take_again(self.clock.last(), &records, decoded);
            rows.iter().for_each(|batch| self.recorder.rows(&mapping.table.name, batch));
            self.rows.extend(rows.into_iter().map(|batch| (mapping.table.name.clone(), batch)));
        }
        intake.lock().expect("no thread panics with the intake").taken_again();
        Ok(())
    }
}

/// The rows of a table as a view of its name.
pub fn shown(table: &Arc<Table>) -> (Arc<View>, Arc<Plan>) {
    let key = match &table.mode {
        Mode::Changes { key } if !key.is_empty() => key.clone(),
        Mode::Append | Mode::Latest { .. } | Mode::Changes { .. } => {
            (0..table.schema.fields().len()).collect()
        }
    };
    let (name, schema) = (table.name.clone(), table.schema.clone());
    let plan = Plan::Get { name: name.clone(), schema: schema.clone() };
    (Arc::new(View { name, schema, key, sql: "".into() }), Arc::new(plan))
}
