//! Tables in mode `latest`: the rows of the event with the greatest version stand for their key.
use super::interner::Interner;
use super::{Keyed, Produced, State, batch_of};
use crate::codec::{Codec, Rows};
use crate::row::Row;
use crate::table::{Mode, Table};
use crate::{Delta, Time};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use std::collections::BTreeMap;

/// What stands for a key: the order of its event, and the event's rows (none if it deleted the key).
#[derive(Default)]
struct Current {
    order: Row,
    rows: Vec<Row>,
}

/// The current rows of every key.
pub(crate) struct Latest {
    keys: Interner,
    current: Vec<Current>,
    codec: Codec,
    order: RowConverter,
    order_columns: Vec<usize>,
    schema: SchemaRef,
}

impl Latest {
    /// Fails where a version column cannot be compared or a column not be kept.
    pub(crate) fn new(table: &Table) -> Result<Latest, String> {
        let Mode::Latest { version, .. } = &table.mode else {
            return Err(format!("table \"{}\" is not in mode latest", table.name));
        };
        let visible = table.schema.fields().len();
        let input = table.input_schema();
        let order_columns: Vec<usize> = version.iter().copied().chain([visible, visible + 1]).collect();
        let fields =
            order_columns.iter().map(|i| SortField::new(input.field(*i).data_type().clone())).collect();
        Ok(Latest {
            keys: Interner::default(),
            current: Vec::new(),
            codec: Codec::new(&table.schema)?,
            order: RowConverter::new(fields)
                .map_err(|e| format!("table \"{}\": versions cannot be compared: {e}", table.name))?,
            order_columns,
            schema: table.schema.clone(),
        })
    }

    /// The newest event of each key that is newer than what stands for it now.
    fn newest(&mut self, input: &[Keyed]) -> BTreeMap<u32, Current> {
        let mut newest: BTreeMap<u32, Current> = BTreeMap::new();
        let visible = self.schema.fields().len();
        for keyed in input {
            let columns: Vec<ArrayRef> =
                self.order_columns.iter().map(|i| keyed.columns.column(*i).clone()).collect();
            let orders = self.order.convert_columns(&columns).expect("the table's types were checked");
            let rows = self.codec.encode(&keyed.columns.columns()[..visible], keyed.hashes.len());
            let deleted = keyed.columns.column(visible + 2).as_boolean();
            for (i, key) in keyed.keys.iter().enumerate() {
                let (id, fresh) = self.keys.intern(keyed.hashes[i], key);
                if self.current.len() <= id as usize {
                    self.current.resize_with(id as usize + 1, Current::default);
                }
                let order = orders.row(i);
                if !fresh && self.current[id as usize].order.as_slice() >= order.data() {
                    continue;
                }
                let slot = newest.entry(id).or_default();
                if slot.order.as_slice() > order.data() {
                    continue;
                }
                if slot.order.as_slice() < order.data() {
                    *slot = Current { order: Row::from_slice(order.data()), rows: Vec::new() };
                }
                if deleted.is_null(i) || !deleted.value(i) {
                    slot.rows.push(Row::from_slice(rows.row(i)));
                }
            }
        }
        newest
    }
}

impl State for Latest {
    fn step(&mut self, time: Time, input: Vec<Keyed>, produced: &mut Produced) {
        let (mut rows, mut diffs) = (Rows::default(), Vec::new());
        for (id, new) in self.newest(&input) {
            let old = std::mem::replace(&mut self.current[id as usize], new);
            let new = &self.current[id as usize];
            if old.rows == new.rows {
                continue;
            }
            for (list, diff) in [(&old.rows, -1), (&new.rows, 1)] {
                list.iter().for_each(|row| rows.push(row.as_slice()));
                diffs.extend(list.iter().map(|_| diff));
            }
        }
        if !diffs.is_empty() {
            let decoded = self.codec.decode(&rows.iter().collect::<Vec<_>>());
            produced.deltas.push(Delta {
                time,
                rows: batch_of(self.schema.clone(), decoded, diffs.len()),
                diffs,
            });
        }
    }

    fn len(&self) -> usize {
        self.keys.len()
    }
}
