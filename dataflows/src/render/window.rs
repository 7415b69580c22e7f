//! Window functions: rows go to the worker that keeps their partition.
use super::{CHECKED, Oks, Renderer, nullable, order_fields, stateful};
use crate::codec::Codec;
use crate::plan::{Order, Plan};
use crate::state::Router;
use crate::state::window::{Shape, Windows};

impl<'s> Renderer<'_, 's> {
    pub(super) fn window(&mut self, plan: &Plan) -> Oks<'s> {
        let Plan::Window { input, partition, .. } = plan else {
            unreachable!("only windows have window functions")
        };
        let schema = input.schema();
        let codec = Codec::for_columns(&schema, partition).expect(CHECKED);
        let columns = (0..schema.fields().len()).collect();
        let router = Router::new(codec, partition.clone(), columns, 0, self.scope.peers());
        let rows = stateful::route(self.plan(input), router);
        self.stateful("Window", rows, Box::new(state(plan).expect(CHECKED)), None)
    }
}

/// The state of a window; says what cannot be kept.
pub(super) fn state(plan: &Plan) -> Result<Windows, String> {
    let Plan::Window { input, partition, order, ties, calls, schema } = plan else {
        unreachable!("only windows have window functions")
    };
    let input = nullable(&input.schema());
    Codec::for_columns(&input, partition)?;
    let first = order.first();
    let first = first.map(|o| (input.field(o.column).data_type().clone(), o.descending, o.nulls_first));
    let ties = ties.iter().map(|column| Order { column: *column, descending: false, nulls_first: false });
    let all: Vec<Order> = order.iter().copied().chain(ties).collect();
    let fields = order_fields(&all, &input);
    let mut peers = order.iter().map(|o| o.column).collect::<Vec<_>>();
    peers.sort_unstable();
    peers.dedup();
    let peers = peers.len();
    Windows::new(Shape { order: fields, peers, first, calls: calls.clone(), input, schema: nullable(schema) })
}
