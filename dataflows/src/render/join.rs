//! Inner equi-joins over shared arrangements. Matches stay bytes until enough of them are there to be decoded column by column.
use super::arrange::Index;
use super::{CHECKED, Oks, Renderer, nullable};
use crate::codec::{Codec, Rows};
use crate::state::batch_of;
use crate::{Delta, Diff, Time};
use arrow::datatypes::SchemaRef;
use differential_dataflow::operators::join::join_traces;
use std::collections::VecDeque;
use timely::container::{Accountable, ContainerBuilder, PushInto};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

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

impl<'s> Renderer<'_, 's> {
    /// The rows of `left` and `right` with equal keys.
    pub(super) fn join(&mut self, left: &Index, right: &Index, schema: &SchemaRef) -> Oks<'s> {
        let (a, b) = (self.arranged(left), self.arranged(right));
        self.operators.push("Join".into());
        let matches = join_traces::<_, _, _, _, MatchesBuilder>(a, b, |key, l, r, time, d, e, builder| {
            builder.push_into((key, l, r, time, d * e));
        });
        let (keys, left_values) = left.codecs().expect(CHECKED);
        let (_, right_values) = right.codecs().expect(CHECKED);
        let expand = Expand {
            keys,
            left_values,
            right_values,
            left: left.clone(),
            right: right.clone(),
            schema: nullable(schema),
        };
        expand.render(matches)
    }
}

/// From bytes back to columns.
struct Expand {
    keys: Codec,
    left_values: Codec,
    right_values: Codec,
    left: Index,
    right: Index,
    schema: SchemaRef,
}

impl Expand {
    fn render<'s>(self, matches: Stream<'s, Time, Matches>) -> Oks<'s> {
        matches.unary(Pipeline, "Expand", move |_, _| {
            move |input, output| {
                input.for_each(|cap, data| {
                    let mut session = output.session(&cap);
                    self.apply(data, |delta| session.give(delta));
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
            let pick = |rows: &'_ Rows, codec: &Codec| {
                codec.decode(&same.iter().map(|i| rows.row(*i)).collect::<Vec<_>>())
            };
            let keys = pick(&matches.keys, &self.keys);
            let mut columns = self.left.columns(&keys, &pick(&matches.left, &self.left_values));
            columns.extend(self.right.columns(&keys, &pick(&matches.right, &self.right_values)));
            let rows = batch_of(self.schema.clone(), columns, same.len());
            give(Delta {
                time: matches.times[same[0]],
                rows,
                diffs: same.iter().map(|i| matches.diffs[*i]).collect(),
            });
        }
    }
}
