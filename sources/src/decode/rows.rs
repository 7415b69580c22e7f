//! `Rows`: the rows of one table while a list of records is decoded.
use super::Mapping;
use super::cell::Cell;
use super::column::{Column, sql_name};
use super::path::{Lookup, NOWHERE, Path};
use crate::event::attribute::cut;
use crate::event::json::{Json, Kind};
use crate::event::{Event, Reject, Rule};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::concat_batches;
use dataflows::Mode;
use std::sync::Arc;

pub(super) struct Rows<'d> {
    mapping: &'d Mapping,
    lookup: &'d Lookup,
    columns: Vec<Column>,
    /// Whether NULL is refused, by column.
    required: Vec<bool>,
    /// Mode `latest`: the columns that a deleted row has too.
    identity: Option<Vec<bool>>,
    hidden: Hidden,
    records: Vec<u32>,
    /// Mode `changes`: the rows as they came, and how many batches are of events that were accepted.
    batches: Vec<RecordBatch>,
    batches_kept: usize,
    /// How many rows are of events that were accepted.
    kept: usize,
    /// Where the path of each column led in the event at hand, and that of `each`.
    slots: Vec<u32>,
}

/// What mode `latest` knows besides the columns.
#[derive(Default)]
struct Hidden {
    times: Vec<i64>,
    events: Vec<u64>,
    deleted: Vec<bool>,
}

/// The event that rows are made of.
struct Origin<'e, 'p> {
    event: &'e Event<'p>,
    json: Option<Json<'e>>,
    event_hash: u64,
    record: u32,
}

impl<'d> Rows<'d> {
    pub fn new(mapping: &'d Mapping, lookup: &'d Lookup, rows: usize) -> Rows<'d> {
        let fields = mapping.table.schema.fields();
        let mut required: Vec<bool> = fields.iter().map(|field| !field.is_nullable()).collect();
        let identity = match &mapping.table.mode {
            Mode::Append | Mode::Changes { .. } => None,
            Mode::Latest { key, version } => {
                key.iter().for_each(|column| required[*column] = true);
                Some(
                    (0..fields.len())
                        .map(|column| key.contains(&column) || version.contains(&column))
                        .collect(),
                )
            }
        };
        Rows {
            mapping,
            lookup,
            columns: fields.iter().map(|field| Column::new(field.data_type(), rows)).collect(),
            required,
            identity,
            hidden: Hidden::default(),
            records: Vec::with_capacity(rows),
            batches: vec![],
            batches_kept: 0,
            kept: 0,
            slots: vec![NOWHERE; fields.len() + 1],
        }
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Adds the rows of an event. After an error some may be there: `undo` takes them away.
    pub fn add<'e>(
        &mut self,
        event: &'e Event,
        json: Option<(Json<'e>, usize)>,
        event_hash: u64,
        record: u32,
        deletes: bool,
    ) -> Result<(), Reject> {
        if matches!(self.mapping.table.mode, Mode::Changes { .. }) {
            let batch = super::changes::read(event, self.mapping)?;
            self.records.extend(std::iter::repeat_n(record, batch.num_rows()));
            self.batches.push(batch);
            return Ok(());
        }
        self.slots.fill(NOWHERE);
        if let Some((json, root)) = json {
            self.lookup.find_data(json, root, &mut self.slots);
        }
        let origin = Origin { event, json: json.map(|(json, _)| json), event_hash, record };
        if deletes && self.identity.is_some() {
            return self.add_deleted(&origin);
        }
        if self.mapping.each.is_none() {
            return self.add_row(&origin, 0);
        }
        let mut count = 0;
        if let Some((json, array)) = self.array(&origin)? {
            for element in json.tape.elements(array) {
                count += 1;
                self.lookup.find_item(json, element, &mut self.slots);
                self.add_row(&origin, count)?;
            }
        }
        if count == 0 && self.identity.is_some() { self.add_deleted(&origin) } else { Ok(()) }
    }

    /// What was added since the last call stays.
    pub fn keep(&mut self) {
        self.kept = self.records.len();
        self.batches_kept = self.batches.len();
    }

    /// What was added since the last call of `keep` goes.
    pub fn undo(&mut self) {
        self.columns.iter_mut().for_each(|column| column.truncate(self.kept));
        self.hidden.times.truncate(self.kept);
        self.hidden.events.truncate(self.kept);
        self.hidden.deleted.truncate(self.kept);
        self.records.truncate(self.kept);
        self.batches.truncate(self.batches_kept);
    }

    pub fn finish(self) -> (RecordBatch, Vec<u32>) {
        if matches!(self.mapping.table.mode, Mode::Changes { .. }) {
            let rows = concat_batches(&self.mapping.table.input_schema(), &self.batches);
            return (rows.expect("each batch was checked against the schema"), self.records);
        }
        let mut columns: Vec<ArrayRef> = self.columns.into_iter().map(Column::finish).collect();
        if self.identity.is_some() {
            columns.push(Arc::new(Int64Array::from(self.hidden.times)));
            columns.push(Arc::new(UInt64Array::from(self.hidden.events)));
            columns.push(Arc::new(BooleanArray::from(self.hidden.deleted)));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.records.len()));
        let rows = RecordBatch::try_new_with_options(self.mapping.table.input_schema(), columns, &options);
        (rows.expect("columns are made by the schema, and NULL is refused where it may not be"), self.records)
    }

    /// The array of `each`; none where it is missing or null.
    fn array<'e>(&self, origin: &Origin<'e, '_>) -> Result<Option<(Json<'e>, usize)>, Reject> {
        let slot = self.slots[self.columns.len()];
        let (Some(json), true) = (origin.json, slot != NOWHERE) else { return Ok(None) };
        let index = slot as usize;
        match json.tape.node(index).kind {
            Kind::Array => Ok(Some((json, index))),
            Kind::Null => Ok(None),
            Kind::True | Kind::False | Kind::Number | Kind::Text | Kind::Object => {
                let each = self.mapping.each.as_ref().map(Path::to_string).unwrap_or_default();
                let value = cut(&Cell::of(json, index).text());
                let table = &self.mapping.table.name;
                Err(Reject::new(
                    Rule::Column,
                    format!("table \"{table}\" wants an array at {each}, not {value}"),
                ))
            }
        }
    }

    fn add_row(&mut self, origin: &Origin, ordinal: i64) -> Result<(), Reject> {
        for column in 0..self.columns.len() {
            self.add_cell(origin, column, ordinal, self.required[column])?;
        }
        self.close_row(origin, false);
        Ok(())
    }

    fn add_deleted(&mut self, origin: &Origin) -> Result<(), Reject> {
        let identity = self.identity.take().expect("only tables of mode latest delete");
        let result = (0..self.columns.len()).try_for_each(|column| match identity[column] {
            true => self.add_cell(origin, column, 0, true),
            false => {
                self.columns[column].push(&Cell::Null);
                Ok(())
            }
        });
        self.identity = Some(identity);
        result?;
        self.close_row(origin, true);
        Ok(())
    }

    fn close_row(&mut self, origin: &Origin, deleted: bool) {
        if self.identity.is_some() {
            self.hidden.times.push(origin.event.moment.map_or(0, |moment| moment.nanos_saturating()));
            self.hidden.events.push(origin.event_hash);
            self.hidden.deleted.push(deleted);
        }
        self.records.push(origin.record);
    }

    #[inline]
    fn add_cell(
        &mut self,
        origin: &Origin,
        column: usize,
        ordinal: i64,
        required: bool,
    ) -> Result<(), Reject> {
        let cell = match &self.mapping.columns[column] {
            Path::Data(_) | Path::Item(_) => match (origin.json, self.slots[column]) {
                (None, _) | (_, NOWHERE) => Cell::Null,
                (Some(json), index) => Cell::of(json, index as usize),
            },
            Path::Attribute(name) if name == "time" => match (&origin.event.time, origin.event.moment) {
                (Some(text), Some(moment)) => Cell::Time(text, moment),
                (None, _) | (_, None) => Cell::Null,
            },
            Path::Attribute(name) => origin.event.attribute(name).map_or(Cell::Null, Cell::Text),
            Path::Ordinal if ordinal == 0 => Cell::Null,
            Path::Ordinal => Cell::Integer(ordinal),
        };
        let is_missing = required && matches!(cell, Cell::Null);
        if !is_missing && self.columns[column].push(&cell) {
            return Ok(());
        }
        Err(self.refuse(column, &cell))
    }

    #[cold]
    fn refuse(&self, column: usize, cell: &Cell) -> Reject {
        let field = self.mapping.table.schema.field(column);
        let (table, name, path) = (&self.mapping.table.name, field.name(), &self.mapping.columns[column]);
        let (value, wanted) = (cut(&cell.text()), sql_name(field.data_type()));
        let nullness = if self.required[column] { " NOT NULL" } else { "" };
        let reason =
            format!("table \"{table}\", column \"{name}\": {path} is {value}, wanted {wanted}{nullness}");
        Reject::new(Rule::Column, reason)
    }
}
