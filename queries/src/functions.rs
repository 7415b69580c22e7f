//! Scalar functions, operators and types as PostgreSQL has them: one registry for the planner, the oracle and ad-hoc queries.
//!
//! | file | what it is |
//! |---|---|
//! | `sql_type` | SQL's names of types to Arrow's |
//! | `syntax` | forms that DataFusion's planner does not know, as calls |
//! | `operators` | operators that are planned otherwise |
//! | `rewrite` | casts and operators whose meaning depends on types |
//! | `call` | a function of ours as DataFusion calls it |
//! | `cast`, `numeric`, `text`, `datetime`, `interval`, `calendar`, `template`, `picture`, `json` | the functions |
mod calendar;
mod call;
mod cast;
mod datetime;
mod interval;
mod json;
mod numeric;
mod operators;
mod picture;
mod rewrite;
mod sql_type;
mod syntax;
mod template;
mod text;

pub use sql_type::sql_type;
pub use syntax::rewrite as postgresql_syntax;

use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::planner::{ExprPlanner, TypePlanner};
use datafusion::optimizer::Analyzer;
use datafusion::prelude::SessionConfig;
use std::sync::Arc;

/// DataFusion's defaults with the functions, operators and rewrites of PostgreSQL.
pub fn state(config: SessionConfig) -> SessionState {
    let mut state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    datafusion_pg_functions::register_all(&mut state);
    datafusion_functions_json::register_all(&mut state).expect("a session state registers everything");
    for function in functions() {
        state.register_udf(Arc::new(function)).expect("a session state registers every function");
    }
    // Ours come first: a planner that takes an operator is the last to be asked.
    let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(operators::Operators)];
    planners.extend(state.expr_planners().iter().cloned());
    let mut builder =
        SessionStateBuilder::new_from_existing(state).with_expr_planners(planners).with_type_planner(types());
    builder.analyzer().get_or_insert_default().function_rewrites.push(Arc::new(rewrite::PostgreSql));
    builder.build()
}

/// The types of casts.
pub fn types() -> Arc<dyn TypePlanner> {
    Arc::new(sql_type::Types)
}

/// DataFusion's analyzer with our rewrites.
pub(crate) fn analyzer() -> Analyzer {
    let mut analyzer = Analyzer::new();
    analyzer.add_function_rewrite(Arc::new(rewrite::PostgreSql));
    analyzer
}

fn functions() -> Vec<ScalarUDF> {
    let lists = [
        numeric::functions(),
        text::functions(),
        datetime::functions(),
        interval::functions(),
        template::functions(),
        picture::functions(),
        json::functions(),
    ];
    lists.into_iter().flatten().collect()
}
