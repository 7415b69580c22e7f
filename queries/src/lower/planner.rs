//! SQL to DataFusion's logical plan and through its optimiser: which names there are, which settings, which rules.
use crate::DeclareError;
use crate::declare::error::{from_datafusion, nearest};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, TableReference};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner};
use datafusion::logical_expr::{
    AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::{Analyzer, Optimizer, OptimizerContext};
use datafusion::prelude::SessionConfig;
use datafusion::sql::planner::SqlToRel;
use datafusion::sql::sqlparser::ast::{Query, Statement};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// Rules whose output the dataflow cannot keep, or keeps worse than their input.
const RULES_LEFT_OUT: [&str; 6] = [
    // A limit below a sort or a union keeps arbitrary rows.
    "push_down_limit",
    // DISTINCT and count(DISTINCT x) are operators of their own.
    "replace_distinct_aggregate",
    "single_distinct_aggregation_to_group_by",
    // Nested columns are not read in parts, and these move expressions away from where they are evaluated once.
    "extract_leaf_expressions",
    "push_down_leaf_projections",
    // One branch changes with its own table only.
    "unions_to_filter",
];

/// A table or a view, as the planner sees it.
pub(crate) struct Relation {
    /// Its columns.
    pub(crate) schema: SchemaRef,
    /// The query it stands for, where it is inlined.
    pub(crate) query: Option<LogicalPlan>,
}

impl TableSource for Relation {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.query.as_ref().map(Cow::Borrowed)
    }
}

/// The names that a query may use.
pub(crate) type Relations = BTreeMap<String, Arc<Relation>>;

/// The settings of every plan: PostgreSQL's dialect, exact decimals, UTC, and text as `Utf8`.
pub(crate) fn settings() -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(2);
    let options = config.options_mut();
    options.sql_parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some("UTC".into());
    // The oracle's tables may promise less of NULLs than the query that was optimised over their declarations.
    options.execution.skip_physical_aggregate_schema_check = true;
    // A scalar subquery is joined, since the dataflow has no other way to follow it.
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    config
}

static STATE: LazyLock<SessionState> =
    LazyLock::new(|| SessionStateBuilder::new().with_config(settings()).with_default_features().build());

struct Names<'a> {
    relations: &'a Relations,
}

impl ContextProvider for Names<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let found = name.schema().is_none().then(|| self.relations.get(name.table())).flatten();
        if let Some(relation) = found {
            return Ok(relation.clone());
        }
        let hint = match nearest(name.table(), self.relations.keys().map(String::as_str)) {
            Some(near) => format!("did you mean {near:?}?"),
            None if self.relations.is_empty() => "nothing is declared yet".into(),
            None => format!("there are {}", self.relations.keys().cloned().collect::<Vec<_>>().join(", ")),
        };
        Err(DataFusionError::Plan(format!("no table or view {:?}: {hint}", name.to_string())))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        STATE.expr_planners()
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        STATE.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        STATE.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        STATE.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        STATE.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        STATE.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        STATE.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        STATE.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        STATE.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        STATE.window_functions().keys().cloned().collect()
    }
}

/// A query as it was written, with every name resolved and views in their places.
pub(crate) fn plan(mut query: Query, relations: &Relations) -> Result<LogicalPlan, DeclareError> {
    super::fetch::said_as_limit(&mut query)?;
    if query.with.as_ref().is_some_and(|with| with.recursive) {
        return Err(DeclareError::Unsupported(
            "WITH RECURSIVE is not maintained yet: write the levels out as a UNION of joins".into(),
        ));
    }
    let names = Names { relations };
    SqlToRel::new(&names).sql_statement_to_plan(Statement::Query(Box::new(query))).map_err(from_datafusion)
}

/// Types made equal where they must be, and columns that nobody reads taken out.
pub(crate) fn analyse(plan: LogicalPlan) -> Result<LogicalPlan, DeclareError> {
    let typed = Analyzer::new()
        .execute_and_check(plan, STATE.config_options(), |_, _| {})
        .map_err(from_datafusion)?;
    run(Optimizer::with_rules(vec![Arc::new(OptimizeProjections::new())]), typed)
}

/// The plan that is lowered.
pub(crate) fn optimise(plan: LogicalPlan) -> Result<LogicalPlan, DeclareError> {
    let mut optimizer = Optimizer::new();
    optimizer.rules.retain(|rule| !RULES_LEFT_OUT.contains(&rule.name()));
    run(optimizer, plan)
}

fn run(optimizer: Optimizer, plan: LogicalPlan) -> Result<LogicalPlan, DeclareError> {
    // The clock of this machine must not get into a plan.
    let context = OptimizerContext::new_with_config_options(STATE.config_options().clone())
        .without_query_execution_start_time();
    optimizer.optimize(plan, &context, |_, _| {}).map_err(from_datafusion)
}
