//! What is kept by key inside a loop: differential reductions, in which the ordinary states compute what a whole group gives.
use super::join::Side;
use super::{Errors, Round, Rows};
use crate::codec::{Codec, Rows as Encoded};
use crate::plan::Plan;
use crate::render::{CHECKED, group_columns, group_state, nullable, top_state};
use crate::row::{Row, RowBatcher, RowBuilder, RowSpine, hash};
use crate::state::{Keyed, Produced, State, batch_of};
use crate::{Delta, Diff};
use arrow::datatypes::{Schema, SchemaRef};
use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::{
    Arranged as ArrangedBy, TraceAgent, arrangement::arrange_core,
};
use differential_dataflow::trace::implementations::ContainerChunker;
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::dataflow::channels::pact::Exchange;

/// Rows by key, with their history over times and rounds.
pub(super) type Arranged<'i> = ArrangedBy<'i, TraceAgent<RowSpine<Round, Diff>>>;
type Update = ((Row, Row), Round, Diff);

/// Arranges values by key.
pub(super) fn arrange<'i>(keyed: VecCollection<'i, Round, (Row, Row), Diff>) -> Arranged<'i> {
    let exchange = Exchange::new(|((key, _), _, _): &Update| hash(key.as_slice()));
    arrange_core::<_, _, ContainerChunker<Vec<Update>>, RowBatcher<_, _>, RowBuilder<_, _>, RowSpine<_, _>>(
        keyed.inner,
        exchange,
        "Arrange",
    )
}

fn by_row<'i>(rows: Rows<'i>) -> Arranged<'i> {
    arrange(rows.map(|row| (row, Row::default())))
}

/// What the values of a key give, whenever they change.
fn reduce<'i>(
    arranged: Arranged<'i>,
    name: &str,
    logic: impl FnMut(&[u8], &[(&[u8], Diff)], &mut Vec<(Row, Diff)>) + 'static,
) -> Arranged<'i> {
    arranged.reduce_abelian::<_, RowBuilder<Round, Diff>, RowSpine<Round, Diff>, _, _>(
        name,
        logic,
        |buffer, key, updates| {
            buffer.clear();
            let key = Row::from_slice(key);
            buffer.extend(updates.drain(..).map(|(value, time, diff)| ((key.clone(), value), time, diff)));
        },
    )
}

/// The same rows; changes at one time and round are one.
pub(super) fn consolidated<'i>(rows: Rows<'i>) -> Rows<'i> {
    by_row(rows).as_collection(|row, _| Row::from_slice(row))
}

fn present<'i>(rows: Rows<'i>) -> Arranged<'i> {
    reduce(by_row(rows), "Distinct", |_, input, output| {
        if input.iter().map(|(_, n)| *n).sum::<Diff>() > 0 {
            output.push((Row::default(), 1));
        }
    })
}

/// Every row once.
pub(super) fn distinct<'i>(rows: Rows<'i>) -> Rows<'i> {
    present(rows).as_collection(|row, _| Row::from_slice(row))
}

/// The rows of `left` that stand in `joined`.
pub(super) fn matched<'i>(left: Rows<'i>, joined: Rows<'i>) -> Rows<'i> {
    by_row(left).join_core(present(joined), |row, _, _| Some(Row::from_slice(row)))
}

/// GROUP BY; `one` is a row without columns where there is no GROUP BY.
pub(super) fn aggregate<'i>(plan: &Plan, rows: Rows<'i>, one: Option<Rows<'i>>) -> (Rows<'i>, Errors<'i>) {
    let (input, mut state, columns) = group_state(plan, None, false).expect(CHECKED);
    let mut always = Produced::default();
    if one.is_some() {
        state.start_global(0, &mut always);
    }
    let group = Group::new(&input.schema(), &columns, &plan.schema(), Box::new(state), always);
    by_group("Aggregate", rows, one, &input.schema(), (group_columns(plan), columns), group)
}

/// The first rows of each partition.
pub(super) fn top<'i>(plan: &Plan, rows: Rows<'i>) -> (Rows<'i>, Errors<'i>) {
    let Plan::TopK { input, partition, schema, .. } = plan else { unreachable!("only a top-k has a window") };
    let columns: Vec<usize> = (0..input.schema().fields().len()).collect();
    let state = Box::new(top_state(plan, false).expect(CHECKED));
    let group = Group::new(&input.schema(), &columns, schema, state, Produced::default());
    by_group("TopK", rows, None, &input.schema(), (partition.clone(), columns), group)
}

/// The value of `one`: no row begins with this byte.
const ONE: u8 = 255;
/// What the values of a reduction begin with.
const OK: u8 = 0;
const FAILED: u8 = 1;

fn by_group<'i>(
    name: &str,
    rows: Rows<'i>,
    one: Option<Rows<'i>>,
    schema: &SchemaRef,
    (key, values): (Vec<usize>, Vec<usize>),
    mut group: Group,
) -> (Rows<'i>, Errors<'i>) {
    let codec = Codec::new(schema).expect(CHECKED);
    let (key, values) = (Side::new(codec.clone(), key), Side::new(codec, values));
    let keyed = rows.map(move |row| (key.pick(row.as_slice()), values.pick(row.as_slice())));
    let keyed = match one {
        None => keyed,
        Some(one) => keyed.concat(one.map(|_| (Row::default(), Row::from_slice(&[ONE])))),
    };
    let reduced = reduce(arrange(keyed), name, move |key, input, output| group.apply(key, input, output));
    let all = reduced.as_collection(|_, value| Row::from_slice(value));
    let rows = all.clone().flat_map(|row| match row.as_slice() {
        [OK, row @ ..] => Some(Row::from_slice(row)),
        _ => None,
    });
    let errs = all.flat_map(|row| match row.as_slice() {
        [FAILED, message @ ..] => Some(Arc::<str>::from(String::from_utf8_lossy(message))),
        _ => None,
    });
    (rows, errs)
}

/// A state that is given all rows of one group, asked, and emptied again.
struct Group {
    values: Codec,
    value_schema: SchemaRef,
    output: Codec,
    state: Box<dyn State>,
    /// What there is before any row.
    always: BTreeMap<Row, Diff>,
}

impl Group {
    fn new(
        input: &SchemaRef,
        columns: &[usize],
        output: &SchemaRef,
        state: Box<dyn State>,
        always: Produced,
    ) -> Group {
        let fields: Vec<_> = columns.iter().map(|i| input.field(*i).clone()).collect();
        let value_schema = nullable(&Arc::new(Schema::new(fields)));
        let values = Codec::new(&value_schema).expect(CHECKED);
        let output = Codec::new(output).expect(CHECKED);
        let mut group = Group { values, value_schema, output, state, always: BTreeMap::new() };
        let mut first = BTreeMap::new();
        group.add(always, &mut first);
        group.always = first;
        group
    }

    fn apply(&mut self, key: &[u8], input: &[(&[u8], Diff)], output: &mut Vec<(Row, Diff)>) {
        let rows: Vec<_> = input.iter().filter(|(row, _)| *row != [ONE]).collect();
        let mut found = self.always.clone();
        if !rows.is_empty() {
            let bytes: Vec<&[u8]> = rows.iter().map(|(row, _)| *row).collect();
            let mut keys = Encoded::default();
            bytes.iter().for_each(|_| keys.push(key));
            let mut keyed = Keyed {
                target: 0,
                time: 0,
                side: 0,
                keys,
                hashes: vec![hash(key); bytes.len()],
                columns: batch_of(self.value_schema.clone(), self.values.decode(&bytes), bytes.len()),
                diffs: rows.iter().map(|(_, diff)| *diff).collect(),
            };
            let mut produced = Produced::default();
            self.state.step(0, vec![keyed.clone()], &mut produced);
            self.add(produced, &mut found);
            keyed.diffs.iter_mut().for_each(|diff| *diff = -*diff);
            self.state.step(0, vec![keyed], &mut Produced::default());
        }
        output.extend(found.into_iter().filter(|(_, diff)| *diff != 0));
    }

    fn add(&self, produced: Produced, found: &mut BTreeMap<Row, Diff>) {
        let mut put = |tag: u8, bytes: &[u8], diff: Diff| {
            let value = [&[tag], bytes].concat();
            *found.entry(Row::from_slice(&value)).or_insert(0) += diff;
        };
        for Delta { rows, diffs, .. } in produced.deltas {
            let encoded = self.output.encode(rows.columns(), diffs.len());
            encoded.iter().zip(diffs).for_each(|(row, diff)| put(OK, row, diff));
        }
        produced.errs.into_iter().for_each(|(message, diff)| put(FAILED, message.as_bytes(), diff));
    }
}
