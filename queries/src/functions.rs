//! Scalar functions, operators and types as PostgreSQL has them: one registry for the planner, the oracle and ad-hoc queries.
//!
//! | file | what it is |
//! |---|---|
//! | `sql_type` | SQL's names of types to Arrow's |
//! | `syntax` | forms that DataFusion's planner does not know, as calls |
//! | `operators` | operators that are planned otherwise |
//! | `rewrite` | casts and operators whose meaning depends on types |
//! | `call` | a function of ours as DataFusion calls it |
//! | `guarded` | functions of DataFusion that get a bound |
//! | `array`, `slice`, `cast`, `numeric`, `exact`, `text`, `format`, `datetime`, `interval`, `calendar`, `template`, `picture`, `json` | the functions |
mod array;
mod calendar;
mod call;
mod cast;
pub(crate) mod checked;
mod datetime;
mod exact;
mod format;
mod guarded;
mod interval;
mod json;
mod numeric;
mod operators;
mod picture;
mod rewrite;
mod slice;
mod sql_type;
mod syntax;
mod template;
mod text;

pub(crate) use json::{Part, json_form, parts};
pub(crate) use json::{concat as json_concat, held as json_held, key as json_key, to_jsonb};
pub(crate) use operators::holds_json;
pub(crate) use rewrite::{common_number, orders};
pub(crate) use text::{padded, quoted_literal, uuid_in};

/// What intervals are compared and summed by.
pub(crate) mod spans {
    use datafusion::logical_expr::ScalarUDF;

    /// How long it is, a month being 30 days.
    pub(crate) fn length() -> ScalarUDF {
        super::interval::length()
    }
    /// Its text.
    pub(crate) fn printer() -> ScalarUDF {
        super::cast::printer()
    }
    /// Its months, days or time.
    pub(crate) fn part(which: &str) -> ScalarUDF {
        super::interval::part(which)
    }
    /// An interval of the three.
    pub(crate) fn of_parts() -> ScalarUDF {
        super::interval::of_parts()
    }
}

pub use sql_type::sql_type;
pub use syntax::rewrite as postgresql_syntax;

use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::planner::{ExprPlanner, TypePlanner};
use datafusion::optimizer::Analyzer;
use datafusion::prelude::SessionConfig;
use std::sync::Arc;

/// Second names of functions that are ours.
const ALIASES: [(&str, &str); 4] = [
    ("substr", "substring"),
    ("date_trunc", "datetrunc"),
    ("array_length", "list_length"),
    ("string_to_array", "string_to_list"),
];

/// DataFusion's defaults with the functions, operators and rewrites of PostgreSQL.
pub fn state(config: SessionConfig) -> SessionState {
    let mut builder = SessionStateBuilder::new().with_config(config).with_default_features();
    // The first planner that takes an operator decides, so ours comes first.
    let planners = builder.expr_planners().get_or_insert_default();
    planners.insert(0, Arc::new(operators::Operators) as Arc<dyn ExprPlanner>);
    let mut state = builder.with_type_planner(types()).build();
    datafusion_pg_functions::register_all(&mut state);
    datafusion_functions_json::register_all(&mut state).expect("a session state registers everything");
    for function in functions() {
        // The names beside the first would otherwise go on meaning DataFusion's.
        state.deregister_udf(function.name()).expect("a session state forgets every function");
        let names = ALIASES.iter().filter(|(name, _)| *name == function.name()).map(|(_, alias)| *alias);
        let names: Vec<&str> = names.collect();
        let function = function.with_aliases(names);
        state.register_udf(Arc::new(function)).expect("a session state registers every function");
    }
    guarded::guard(&mut state);
    state
        .register_function_rewrite(Arc::new(rewrite::PostgreSql))
        .expect("a session state registers every rewrite");
    state
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
        array::functions(),
        slice::functions(),
        numeric::functions(),
        text::functions(),
        format::functions(),
        datetime::functions(),
        interval::functions(),
        template::functions(),
        picture::functions(),
        json::functions(),
    ];
    lists.into_iter().flatten().collect()
}

/// An interval as it is written, in words that every reader of intervals knows.
pub(crate) fn interval_words(text: &str) -> String {
    interval::words(text).unwrap_or_else(|| text.to_owned())
}
