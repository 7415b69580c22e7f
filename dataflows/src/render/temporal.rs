//! The temporal filter: bounds are computed beside each row, rows wait at one worker each, and the clock steps them at every tick.
use super::{CHECKED, Oks, Renderer, import, map, nullable, stateful};
use crate::codec::{Codec, Rows};
use crate::plan::{CLOCK, Expr, Plan};
use crate::state::temporal::Temporal;
use crate::state::{Keyed, Router};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{Column, Literal};
use std::sync::Arc;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::generic::operator::Operator;

impl<'a, 's> Renderer<'a, 's> {
    pub(super) fn temporal(&mut self, input: &Plan, from: &Option<Expr>, until: &Option<Expr>) -> Oks<'s> {
        let schema = nullable(&input.schema());
        let width = schema.fields().len();
        let bound = |expr: &Option<Expr>, none: i64| -> Expr {
            expr.clone().unwrap_or_else(|| Arc::new(Literal::new(ScalarValue::Int64(Some(none)))))
        };
        let all = (0..width).map(|i| -> Expr { Arc::new(Column::new(schema.field(i).name(), i)) });
        let project = all.chain([bound(from, 0), bound(until, i64::MAX)]).collect();
        let bounds = ["from", "until"].map(|name| Arc::new(Field::new(name, DataType::Int64, true)));
        let wide = Arc::new(Schema::new(schema.fields().iter().cloned().chain(bounds).collect::<Vec<_>>()));
        let (rows, errs) = map::map(self.plan(input), None, Some(project), wide, &self.ward);
        self.errs.push(errs);
        let codec = Codec::new(&schema).expect(CHECKED);
        let router = Router::new(codec, (0..width).collect(), vec![width, width + 1], 0, self.scope.peers());
        let rows = stateful::route(rows, router);
        let clock = self.every_tick();
        let input = self.scope.concatenate([rows, clock]);
        self.stateful("Temporal", input, Box::new(Temporal::new(schema).expect(CHECKED)), None)
    }

    /// An empty message at each tick for each worker: the row of the clock is with one of them, which tells the others.
    fn every_tick(&mut self) -> StreamVec<'s, crate::Time, Keyed> {
        let tap = self.shared.taps.get(CLOCK).expect("every worker has the clock").clone();
        let (rows, _) = import::import(self.scope, &tap, self.as_of);
        let peers = self.scope.peers() as u64;
        rows.unary(Pipeline, "Clock", move |_, _| {
            move |input, output| {
                input.for_each(|cap, data| {
                    let mut session = output.session(&cap);
                    for delta in data.drain(..) {
                        for target in 0..peers {
                            let columns = RecordBatch::new_empty(Arc::new(Schema::empty()));
                            let (time, keys) = (delta.time, Rows::default());
                            let (hashes, diffs) = Default::default();
                            session.give(Keyed { target, time, side: 1, keys, hashes, columns, diffs });
                        }
                    }
                });
            }
        })
    }
}
