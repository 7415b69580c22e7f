//! `Decoder`: payloads to typed Arrow rows of declared tables, and for each record what became of it.
//!
//! Third stop of the path. A record is read once: the tape of `event` is walked along the paths of every table that
//! takes its type. One value that does not fit rejects the whole event, so no table ever sees half of one.
mod cell;
pub mod changes;
mod column;
mod path;
mod rows;
pub mod verdict;

use crate::event::json::{Json, Kind, Tape};
use crate::event::{Data, Event, Reject, content, read};
use crate::{Payload, Record};
use arrow::array::RecordBatch;
use dataflows::{Mode, Table};
use path::Lookup;
pub use path::Path;
use rows::Rows;
use std::collections::HashMap;
use std::sync::Arc;
use verdict::{Act, Verdict};

/// How events become rows of one table.
#[derive(Clone)]
pub struct Mapping {
    /// The table.
    pub table: Arc<Table>,
    /// The types of the events that it takes.
    pub types: Pattern,
    /// In mode `latest`: the types of the events that take a row away.
    pub deletes: Option<Pattern>,
    /// A path into the data to an array: one row for each of its elements.
    pub each: Option<Path>,
    /// Where each column of the table comes from; none in mode `changes`, whose events carry columns as they are.
    pub columns: Vec<Path>,
    /// Whether it may be filled from what is left of a log whose beginning was removed.
    pub from_what_is_kept: bool,
}

/// As text, by which a definition is told from another: what was there before the last field reads as it did.
impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Mapping { table, types, deletes, each, columns, from_what_is_kept } = self;
        let mut text = f.debug_struct("Mapping");
        text.field("table", table).field("types", types).field("deletes", deletes);
        text.field("each", each).field("columns", columns);
        if *from_what_is_kept {
            text.field("from_what_is_kept", &true);
        }
        text.finish()
    }
}

impl Mapping {
    /// In mode `changes`: what the type of its events ends in.
    pub fn origin(&self) -> Option<&str> {
        self.types.0.first().and_then(|text| text.strip_prefix(changes::TYPE_PREFIX))
    }

    /// Whether events can be decoded by it; the error names the column and what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let (fields, name) = (self.table.schema.fields(), &self.table.name);
        if matches!(self.table.mode, Mode::Changes { .. }) {
            return Ok(());
        }
        if self.columns.len() != fields.len() {
            return Err(format!(
                "table \"{name}\" has {} columns and {} paths",
                fields.len(),
                self.columns.len()
            ));
        }
        if self.deletes.is_some() && self.table.mode == Mode::Append {
            return Err(format!(
                "table \"{name}\": deletes is for tables of mode latest, this one is append"
            ));
        }
        if let Some(each) = self.each.as_ref().filter(|each| !matches!(each, Path::Data(_))) {
            return Err(format!(
                "table \"{name}\": each is \"{each}\", but an array is found only below \"data\""
            ));
        }
        for (field, path) in fields.iter().zip(&self.columns) {
            if !column::is_supported(field.data_type()) {
                let data_type = column::sql_name(field.data_type());
                return Err(format!(
                    "table \"{name}\": column \"{}\" has type {data_type}, which no event can fill",
                    field.name()
                ));
            }
            if self.each.is_none() && matches!(path, Path::Item(_) | Path::Ordinal) {
                return Err(format!(
                    "table \"{name}\": column \"{}\" reads \"{path}\", but the table has no each",
                    field.name()
                ));
            }
        }
        Ok(())
    }
}

/// Event types, as a comma-separated list in which `*` stands for any characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

impl Pattern {
    /// `com.example.bss.customer.*,com.x.y.v1`.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let parts: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
        if parts.iter().any(String::is_empty) {
            return Err(format!(
                "event types {text:?} are no comma-separated list of patterns: one of them is empty"
            ));
        }
        Ok(Pattern(parts))
    }

    /// Whether an event type is meant.
    pub fn matches(&self, event_type: &str) -> bool {
        self.0.iter().any(|part| glob(part, event_type))
    }
}

fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

/// What became of a list of records.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// One for each record, in their order.
    pub heads: Vec<Head>,
    /// The rows of the tables that got any, by ascending mapping.
    pub tables: Vec<TableRows>,
}

/// Rows of one table.
#[derive(Clone, Debug)]
pub struct TableRows {
    /// Which of the decoder's mappings.
    pub mapping: usize,
    /// The rows, with the columns of `Table::input_schema`.
    pub rows: RecordBatch,
    /// For each row the index of the record that it came from; ascending.
    pub records: Vec<u32>,
}

/// What became of one record.
#[derive(Clone, Debug)]
pub struct Head {
    /// The record's partition.
    pub partition: u32,
    /// The record's offset.
    pub offset: u64,
    /// How large its payload is.
    pub bytes: usize,
    /// An event, or why not.
    pub outcome: Outcome,
}

/// An event, or why not.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A valid event whose rows, if any, are in the tables.
    Event(Accepted),
    /// No table has rows of it.
    Reject(Reject),
}

/// What the engine needs to know of a valid event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// A hash of its source and id: equal for duplicates.
    pub key: u128,
    /// A hash of all that it says, however it was carried: differs where a duplicate says something else.
    pub content: u64,
    /// Its time in milliseconds since 1970, if it has one.
    pub time_ms: Option<i64>,
    /// Whether a table takes its type.
    pub matched: bool,
    /// Its type.
    pub event_type: Arc<str>,
}

/// Decodes records by a list of mappings; share it by `Arc`.
#[derive(Clone, Debug)]
pub struct Decoder {
    mappings: Vec<(Arc<Mapping>, Lookup)>,
}

impl Decoder {
    /// Mappings as `Mapping::check` wants them.
    pub fn new(mappings: Vec<Arc<Mapping>>) -> Decoder {
        let prepare = |mapping: Arc<Mapping>| {
            let paths = match mapping.table.mode {
                Mode::Append | Mode::Latest { .. } => mapping.table.schema.fields().len(),
                Mode::Changes { .. } => 0,
            };
            assert_eq!(mapping.columns.len(), paths, "checked by Mapping::check");
            let lookup = Lookup::new(mapping.each.as_ref(), &mapping.columns);
            (mapping, lookup)
        };
        Decoder { mappings: mappings.into_iter().map(prepare).collect() }
    }

    /// The mappings, in the order that `TableRows::mapping` counts.
    pub fn mappings(&self) -> impl Iterator<Item = &Arc<Mapping>> {
        self.mappings.iter().map(|(mapping, _)| mapping)
    }

    /// Reads every record, and makes the rows of those that are events.
    pub fn decode(&self, records: &[Record]) -> Decoded {
        let mut pass = Pass::new(&self.mappings, records.len());
        let head = |(index, record): (usize, &Record)| Head {
            partition: record.partition,
            offset: record.offset,
            bytes: payload_bytes(&record.payload),
            outcome: pass.decode(index as u32, &record.payload).map_or_else(Outcome::Reject, Outcome::Event),
        };
        let heads = records.iter().enumerate().map(head).collect();
        let filled = pass.tables.into_iter().enumerate().filter_map(|(mapping, rows)| {
            let rows = rows.filter(|rows| !rows.is_empty())?;
            let (rows, records) = rows.finish();
            Some(TableRows { mapping, rows, records })
        });
        Decoded { heads, tables: filled.collect() }
    }
}

fn payload_bytes(payload: &Payload) -> usize {
    match payload {
        Payload::Structured(bytes) => bytes.len(),
        Payload::Binary { attributes, body } => {
            body.len() + attributes.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
        }
    }
}

/// What one event type feeds.
struct Route {
    event_type: Arc<str>,
    /// Mapping, and whether the event takes a row away.
    uses: Vec<(usize, bool)>,
}

/// One call of `decode`: buffers that all its records share.
struct Pass<'d> {
    mappings: &'d [(Arc<Mapping>, Lookup)],
    records: usize,
    tables: Vec<Option<Rows<'d>>>,
    tape: Tape,
    buffer: Vec<u8>,
    routes: Vec<Route>,
    route_of: HashMap<Arc<str>, usize>,
    /// The route of the event before: events of one type come together.
    route: usize,
}

impl<'d> Pass<'d> {
    fn new(mappings: &'d [(Arc<Mapping>, Lookup)], records: usize) -> Pass<'d> {
        Pass {
            mappings,
            records,
            tables: mappings.iter().map(|_| None).collect(),
            tape: Tape::default(),
            buffer: Vec::new(),
            routes: Vec::new(),
            route_of: HashMap::new(),
            route: 0,
        }
    }

    fn decode(&mut self, record: u32, payload: &Payload) -> Result<Accepted, Reject> {
        match Verdict::read(payload) {
            Some(Verdict { act: Act::Replay(inner), .. }) => self.decode_event(record, &inner),
            _ => self.decode_event(record, payload),
        }
    }

    fn decode_event(&mut self, record: u32, payload: &Payload) -> Result<Accepted, Reject> {
        let (event, root) = read(payload, &mut self.tape)?;
        let json = match (&event.data, root) {
            (Data::Json(text), Some(root)) => {
                let node = self.tape.node(root);
                let base = node.start as usize - usize::from(node.kind == Kind::Text);
                Some((Json::new(&self.tape, text, base), root))
            }
            (Data::Json(_) | Data::Text(_) | Data::Bytes(_) | Data::None, _) => None,
        };
        let key = content::key(&event, &mut self.buffer);
        let content = content::content(&event, json, &mut self.buffer);
        if self.routes.get(self.route).is_none_or(|route| *route.event_type != *event.event_type) {
            self.route = route(self.mappings, &mut self.routes, &mut self.route_of, &event.event_type);
        }
        let route = &self.routes[self.route];
        for (used, (mapping, deletes)) in route.uses.iter().enumerate() {
            let rows = self.tables[*mapping].get_or_insert_with(|| {
                let (mapping, lookup) = &self.mappings[*mapping];
                // A share of the records: with a hundred tables most of what is set aside for all would never be used.
                Rows::new(mapping, lookup, self.records.div_ceil(self.mappings.len()))
            });
            if let Err(mut reject) = rows.add(&event, json, key as u64, record, *deletes) {
                for (mapping, _) in &route.uses[..=used] {
                    self.tables[*mapping].as_mut().expect("made for this event").undo();
                }
                name_event(&mut reject, &event);
                return Err(reject);
            }
        }
        for (mapping, _) in &route.uses {
            self.tables[*mapping].as_mut().expect("made for this event").keep();
        }
        Ok(Accepted {
            key,
            content,
            time_ms: event.moment.map(|moment| moment.millis()),
            matched: !route.uses.is_empty(),
            event_type: route.event_type.clone(),
        })
    }
}

fn name_event(reject: &mut Reject, event: &Event) {
    reject.event_id = Some(event.id.clone().into_owned());
    reject.event_source = Some(event.source.clone().into_owned());
}

/// The number of the route of a type, which is made where it is new.
fn route(
    mappings: &[(Arc<Mapping>, Lookup)],
    routes: &mut Vec<Route>,
    route_of: &mut HashMap<Arc<str>, usize>,
    event_type: &str,
) -> usize {
    if let Some(known) = route_of.get(event_type) {
        return *known;
    }
    let uses = mappings.iter().enumerate().filter_map(|(index, (mapping, _))| {
        let deletes = mapping.deletes.as_ref().is_some_and(|pattern| pattern.matches(event_type));
        (deletes || mapping.types.matches(event_type)).then_some((index, deletes))
    });
    let route = Route { event_type: event_type.into(), uses: uses.collect() };
    route_of.insert(route.event_type.clone(), routes.len());
    routes.push(route);
    routes.len() - 1
}

#[cfg(test)]
mod tests;
