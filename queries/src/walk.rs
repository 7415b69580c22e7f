//! Walks over sqlparser's tree, each kind compiled once: the tree's own `visit` is generic in the visitor, and would be compiled whole,
//! with its 200 kinds of node, for each visitor that there is.
use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, Visit, VisitMut, Visitor,
    VisitorMut,
};
use std::ops::ControlFlow;

/// A visitor's hooks without the type of what ends its walk.
macro_rules! hooks {
    ($hooks:ident, $visitor:ident, $($hook:ident $node:ty),+) => {
        trait $hooks {
            $(fn $hook(&mut self, node: $node) -> ControlFlow<()>;)+
        }

        impl<V: $visitor> $hooks for Holding<'_, V, V::Break> {
            $(fn $hook(&mut self, node: $node) -> ControlFlow<()> {
                match self.visitor.$hook(node) {
                    ControlFlow::Continue(()) => ControlFlow::Continue(()),
                    ControlFlow::Break(why) => {
                        self.why = Some(why);
                        ControlFlow::Break(())
                    }
                }
            })+
        }

        impl $visitor for Behind<'_, dyn $hooks + '_> {
            type Break = ();
            $(fn $hook(&mut self, node: $node) -> ControlFlow<()> {
                self.0.$hook(node)
            })+
        }
    };
}

struct Holding<'a, V, B> {
    visitor: &'a mut V,
    why: Option<B>,
}

impl<V, B> Holding<'_, V, B> {
    fn ended(self, flow: ControlFlow<()>) -> ControlFlow<B> {
        match flow {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(()) => ControlFlow::Break(self.why.expect("a hook says why it ends the walk")),
        }
    }
}

struct Behind<'a, H: ?Sized>(&'a mut H);

hooks!(
    Reading,
    Visitor,
    pre_visit_query & Query,
    post_visit_query & Query,
    pre_visit_select & Select,
    post_visit_select & Select,
    pre_visit_relation & ObjectName,
    post_visit_relation & ObjectName,
    pre_visit_table_factor & TableFactor,
    post_visit_table_factor & TableFactor,
    pre_visit_expr & Expr,
    post_visit_expr & Expr,
    pre_visit_statement & Statement,
    post_visit_statement & Statement,
    pre_visit_value & ValueWithSpan,
    post_visit_value & ValueWithSpan
);
hooks!(
    Writing,
    VisitorMut,
    pre_visit_query &mut Query,
    post_visit_query &mut Query,
    pre_visit_select &mut Select,
    post_visit_select &mut Select,
    pre_visit_relation &mut ObjectName,
    post_visit_relation &mut ObjectName,
    pre_visit_table_factor &mut TableFactor,
    post_visit_table_factor &mut TableFactor,
    pre_visit_expr &mut Expr,
    post_visit_expr &mut Expr,
    pre_visit_statement &mut Statement,
    post_visit_statement &mut Statement,
    pre_visit_value &mut ValueWithSpan,
    post_visit_value &mut ValueWithSpan
);

/// Shows the parts of a node to the visitor, until it ends the walk.
pub(crate) fn read<V: Visitor>(node: &impl Visit, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut holding = Holding { visitor, why: None };
    let flow = node.visit(&mut Behind::<dyn Reading>(&mut holding));
    holding.ended(flow)
}

/// Gives the parts of a node to the visitor to change, until it ends the walk.
pub(crate) fn write<V: VisitorMut>(node: &mut impl VisitMut, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut holding = Holding { visitor, why: None };
    let flow = node.visit(&mut Behind::<dyn Writing>(&mut holding));
    holding.ended(flow)
}

struct Each<F>(F);

impl<E, F: FnMut(&Expr) -> ControlFlow<E>> Visitor for Each<F> {
    type Break = E;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<E> {
        self.0(expr)
    }
}

impl<E, F: FnMut(&mut Expr) -> ControlFlow<E>> VisitorMut for Each<F> {
    type Break = E;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<E> {
        self.0(expr)
    }
}

/// Each expression of a node, those around before those inside.
pub(crate) fn expressions<E>(node: &impl Visit, look: impl FnMut(&Expr) -> ControlFlow<E>) -> ControlFlow<E> {
    read(node, &mut Each(look))
}

/// Each expression of a node to change, those inside before those around.
pub(crate) fn expressions_mut<E>(
    node: &mut impl VisitMut,
    change: impl FnMut(&mut Expr) -> ControlFlow<E>,
) -> ControlFlow<E> {
    write(node, &mut Each(change))
}
