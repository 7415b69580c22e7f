//! Joins inside a loop: rows are cut into cells and put together again, never decoded.
use super::super::arrange::{Index, Trace};
use super::body::Body;
use super::reduce::{Arranged, arrange};
use super::{Round, Rows};
use crate::codec::Codec;
use crate::plan::Plan;
use crate::render::CHECKED;
use crate::row::Row;
use differential_dataflow::operators::arrange::Arranged as ArrangedBy;
use differential_dataflow::trace::wrappers::enter::TraceEnter;
use differential_dataflow::trace::wrappers::frontier::TraceFrontier;

/// An arrangement from outside.
pub(super) type Shared<'i> = ArrangedBy<'i, TraceEnter<TraceFrontier<Trace>, Round>>;

/// One of the two sides.
enum Input<'i> {
    Own(Arranged<'i>),
    Shared(Shared<'i>),
}

/// Some columns of a row.
pub(super) struct Side {
    codec: Codec,
    picks: Vec<usize>,
}

impl Side {
    pub(super) fn new(codec: Codec, picks: Vec<usize>) -> Side {
        Side { codec, picks }
    }

    /// The cells of these columns, as a row.
    pub(super) fn pick(&self, row: &[u8]) -> Row {
        let mut cells = Vec::with_capacity(8);
        self.codec.cut(row, &mut cells);
        self.gather(&cells)
    }

    fn gather(&self, cells: &[&[u8]]) -> Row {
        let mut bytes = Vec::with_capacity(64);
        self.picks.iter().for_each(|i| bytes.extend_from_slice(cells[*i]));
        Row::from_slice(&bytes)
    }
}

/// Where a cell of the joined row stands.
#[derive(Clone, Copy)]
enum Place {
    Key(usize),
    Left(usize),
    Right(usize),
}

/// Puts matches together.
struct Assembly {
    keys: Codec,
    left: Codec,
    right: Codec,
    places: Vec<Place>,
}

impl Assembly {
    fn new(left: &Index, right: &Index) -> Assembly {
        let (keys, left_values) = left.codecs().expect(CHECKED);
        let (_, right_values) = right.codecs().expect(CHECKED);
        let places = |index: &Index, value: fn(usize) -> Place| -> Vec<Place> {
            (0..index.plan.schema().fields().len())
                .map(|column| match index.key.iter().position(|k| *k == column) {
                    Some(i) => Place::Key(i),
                    None => value(
                        index.values.binary_search(&column).expect("not in the key, so among the values"),
                    ),
                })
                .collect()
        };
        let places = [places(left, Place::Left), places(right, Place::Right)].concat();
        Assembly { keys, left: left_values, right: right_values, places }
    }

    fn row(&self, key: &[u8], left: &[u8], right: &[u8]) -> Row {
        let mut cells: [Vec<&[u8]>; 3] =
            [Vec::with_capacity(4), Vec::with_capacity(8), Vec::with_capacity(8)];
        self.keys.cut(key, &mut cells[0]);
        self.left.cut(left, &mut cells[1]);
        self.right.cut(right, &mut cells[2]);
        let mut bytes = Vec::with_capacity(key.len() * 2 + left.len() + right.len());
        for place in &self.places {
            bytes.extend_from_slice(match place {
                Place::Key(i) => cells[0][*i],
                Place::Left(i) => cells[1][*i],
                Place::Right(i) => cells[2][*i],
            });
        }
        Row::from_slice(&bytes)
    }
}

impl<'i> Body<'i> {
    /// An inner join without its residual predicate.
    pub(super) fn join(&mut self, plan: &Plan) -> Rows<'i> {
        let Plan::Join { left, right, on, null_equal, .. } = plan else {
            unreachable!("only joins are joined")
        };
        let (left, right) = (Index::left(left, on, *null_equal), Index::right(right, on, *null_equal));
        let assembly = Assembly::new(&left, &right);
        let put = move |k: &[u8], l: &[u8], r: &[u8]| Some(assembly.row(k, l, r));
        let (a, b) = (self.input(&left), self.input(&right));
        self.operators.push("Join".into());
        match (a, b) {
            (Input::Own(a), Input::Own(b)) => a.join_core(b, put),
            (Input::Own(a), Input::Shared(b)) => a.join_core(b, put),
            (Input::Shared(a), Input::Own(b)) => a.join_core(b, put),
            (Input::Shared(_), Input::Shared(_)) => {
                unreachable!("a join of what reads no binding has entered")
            }
        }
    }

    fn input(&mut self, index: &Index) -> Input<'i> {
        let fingerprint = index.fingerprint();
        if let Some(shared) = self.shared.get(&fingerprint) {
            return Input::Shared(shared.clone());
        }
        if let Some(arranged) = self.arranged.get(&fingerprint) {
            return Input::Own(arranged.clone());
        }
        let rows = self.plan(&index.plan);
        let codec = Codec::new(&index.plan.schema()).expect(CHECKED);
        let (key, values, null_equal) = (index.key.clone(), index.values.clone(), index.null_equal);
        let (key, values) = (Side::new(codec.clone(), key), Side::new(codec, values));
        let keyed = rows.flat_map(move |row| {
            let mut cells = Vec::with_capacity(8);
            key.codec.cut(row.as_slice(), &mut cells);
            let joins = null_equal || key.picks.iter().all(|i| !key.codec.is_null(*i, cells[*i]));
            joins.then(|| (key.gather(&cells), values.gather(&cells)))
        });
        self.operators.push("Arrange".into());
        let arranged = arrange(keyed);
        self.arranged.insert(fingerprint, arranged.clone());
        Input::Own(arranged)
    }
}
