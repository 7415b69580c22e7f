//! Inner equi-joins over shared arrangements. Matches stay bytes until enough of them are there to be decoded column by column.
use super::arrange::Index;
use super::{CHECKED, Oks, Renderer, nullable};
use crate::codec::{Codec, Rows};
use crate::plan::Expr;
use crate::state::batch_of;
use crate::ward::Ward;
use crate::{Delta, Diff, Time};
use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use differential_dataflow::operators::join::join_traces;
use std::collections::VecDeque;
use std::sync::Arc;
use timely::container::{Accountable, ContainerBuilder, PushInto};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator as _;

/// Matches: the bytes of the key and of the left and right values.
#[derive(Clone, Default)]
struct Matches {
    keys: Rows,
    left: Rows,
    right: Rows,
    times: Vec<Time>,
    diffs: Vec<Diff>,
}

impl Accountable for Matches {
    fn record_count(&self) -> i64 {
        self.diffs.len() as i64
    }
}

/// Collects matches into containers of a good size for vectorised work.
#[derive(Default)]
struct MatchesBuilder {
    current: Matches,
    full: VecDeque<Matches>,
    given: Option<Matches>,
}

const MATCHES_MAX: usize = 8192;

impl ContainerBuilder for MatchesBuilder {
    type Container = Matches;
    fn extract(&mut self) -> Option<&mut Matches> {
        self.given = self.full.pop_front();
        self.given.as_mut()
    }
    fn finish(&mut self) -> Option<&mut Matches> {
        if !self.current.diffs.is_empty() {
            self.full.push_back(std::mem::take(&mut self.current));
        }
        self.extract()
    }
}

impl PushInto<(&[u8], &[u8], &[u8], Time, Diff)> for MatchesBuilder {
    #[inline]
    fn push_into(&mut self, (key, left, right, time, diff): (&[u8], &[u8], &[u8], Time, Diff)) {
        let matches = &mut self.current;
        matches.keys.push(key);
        matches.left.push(left);
        matches.right.push(right);
        matches.times.push(time);
        matches.diffs.push(diff);
        if matches.diffs.len() >= MATCHES_MAX {
            self.full.push_back(std::mem::take(matches));
        }
    }
}

/// Where a cell of a joined row stands while it is still bytes.
#[derive(Clone, Copy)]
enum Place {
    Key(usize),
    Left(usize),
    Right(usize),
}

/// A residual predicate that is decided on bytes, before a match costs anything: comparisons of two columns, all of which must hold.
pub(super) struct Predicate {
    comparisons: Vec<(Place, Operator, Place)>,
    keys: Codec,
    left: Codec,
    right: Codec,
}

impl Predicate {
    /// None if bytes do not suffice.
    pub(super) fn new(filter: &Expr, left: &Index, right: &Index) -> Option<Predicate> {
        let (keys, left_values) = left.codecs().ok()?;
        let (_, right_values) = right.codecs().ok()?;
        let mut predicate = Predicate { comparisons: vec![], keys, left: left_values, right: right_values };
        predicate.add(filter, left, right)?;
        Some(predicate)
    }

    fn add(&mut self, filter: &Expr, left: &Index, right: &Index) -> Option<()> {
        let binary = filter.downcast_ref::<BinaryExpr>()?;
        if *binary.op() == Operator::And {
            self.add(binary.left(), left, right)?;
            return self.add(binary.right(), left, right);
        }
        let place = |e: &Expr| e.downcast_ref::<Column>().map(|c| place(c.index(), left, right));
        let (a, b) = (place(binary.left())?, place(binary.right())?);
        let ((a_codec, a_column), (b_codec, b_column)) = (self.codec(a), self.codec(b));
        if !super::fuse::comparison(binary.op()) || !a_codec.comparable(a_column, b_codec, b_column) {
            return None;
        }
        self.comparisons.push((a, *binary.op(), b));
        Some(())
    }

    fn codec(&self, place: Place) -> (&Codec, usize) {
        match place {
            Place::Key(i) => (&self.keys, i),
            Place::Left(i) => (&self.left, i),
            Place::Right(i) => (&self.right, i),
        }
    }

    #[inline]
    fn holds(&self, key: &[u8], left: &[u8], right: &[u8]) -> bool {
        self.comparisons.iter().all(|(a, op, b)| {
            let row = |place: &Place| match place {
                Place::Key(_) => key,
                Place::Left(_) => left,
                Place::Right(_) => right,
            };
            let ((a_codec, i), (b_codec, j)) = (self.codec(*a), self.codec(*b));
            a_codec.compare((row(a), i), b_codec, (row(b), j)).is_some_and(|order| match op {
                Operator::Eq => order.is_eq(),
                Operator::NotEq => order.is_ne(),
                Operator::Lt => order.is_lt(),
                Operator::LtEq => order.is_le(),
                Operator::Gt => order.is_gt(),
                _ => order.is_ge(),
            })
        })
    }
}

/// Where a column of the joined row (left's columns, then right's) stands.
fn place(column: usize, left: &Index, right: &Index) -> Place {
    let width = left.plan.schema().fields().len();
    let (index, column, value): (_, _, fn(usize) -> Place) =
        if column < width { (left, column, Place::Left) } else { (right, column - width, Place::Right) };
    match index.key.iter().position(|k| *k == column) {
        Some(i) => Place::Key(i),
        None => value(index.values.binary_search(&column).expect("not in the key, so among the values")),
    }
}

impl<'s> Renderer<'_, 's> {
    /// Columns of the rows of `left` and `right` with equal keys for which the predicate holds.
    pub(super) fn join(
        &mut self,
        left: &Index,
        right: &Index,
        predicate: Option<Predicate>,
        columns: &[usize],
        schema: &SchemaRef,
    ) -> Oks<'s> {
        let (a, b) = (self.arranged(left), self.arranged(right));
        self.operators.push("Join".into());
        let (ward, matched) = (self.ward.clone(), self.ward.clone());
        let matches =
            join_traces::<_, _, _, _, MatchesBuilder>(a, b, move |key, l, r, time, d, e, builder| {
                if matched.stopped().is_none() && predicate.as_ref().is_none_or(|p| p.holds(key, l, r)) {
                    builder.push_into((key, l, r, time, d * e));
                }
            });
        let (keys, left_values) = left.codecs().expect(CHECKED);
        let (_, right_values) = right.codecs().expect(CHECKED);
        let places = columns.iter().map(|column| place(*column, left, right)).collect();
        Expand { keys, left: left_values, right: right_values, places, schema: nullable(schema) }
            .render(matches, ward)
    }
}

/// From bytes back to columns.
struct Expand {
    keys: Codec,
    left: Codec,
    right: Codec,
    places: Vec<Place>,
    schema: SchemaRef,
}

impl Expand {
    fn render<'s>(self, matches: Stream<'s, Time, Matches>, ward: Arc<Ward>) -> Oks<'s> {
        matches.unary(Pipeline, "Expand", move |_, _| {
            move |input, output| {
                input.for_each(|cap, data| {
                    let mut session = output.session(&cap);
                    if ward.stopped().is_none() {
                        ward.contain("Join", || self.apply(data, |delta| session.give(delta)));
                    }
                });
            }
        })
    }

    /// One delta for each time; nearly always there is one.
    fn apply(&self, matches: &Matches, mut give: impl FnMut(Delta)) {
        let mut order: Vec<usize> = (0..matches.diffs.len()).collect();
        if matches.times.windows(2).any(|w| w[0] != w[1]) {
            order.sort_by_key(|i| matches.times[*i]);
        }
        for same in order.chunk_by(|a, b| matches.times[*a] == matches.times[*b]) {
            let pick = |rows: &'_ Rows, codec: &Codec, wanted: bool| match wanted {
                true => codec.decode(&same.iter().map(|i| rows.row(*i)).collect::<Vec<_>>()),
                false => vec![],
            };
            let any = |of: fn(&Place) -> bool| self.places.iter().any(of);
            let keys = pick(&matches.keys, &self.keys, any(|p| matches!(p, Place::Key(_))));
            let left = pick(&matches.left, &self.left, any(|p| matches!(p, Place::Left(_))));
            let right = pick(&matches.right, &self.right, any(|p| matches!(p, Place::Right(_))));
            let columns = self.places.iter().map(|place| match place {
                Place::Key(i) => keys[*i].clone(),
                Place::Left(i) => left[*i].clone(),
                Place::Right(i) => right[*i].clone(),
            });
            let columns = columns.collect();
            let rows = batch_of(self.schema.clone(), columns, same.len());
            give(Delta {
                time: matches.times[same[0]],
                rows,
                diffs: same.iter().map(|i| matches.diffs[*i]).collect(),
            });
        }
    }
}
