//! SQL to DataFusion's logical plan and through its optimiser: which names there are, which settings, which rules.
mod casts;
mod pushdown;

use super::aggregate::{functions as aggregates, meaning, sets};
use super::recursive::{self, Held};
use super::{clock, json, lateral, lists, told};
use crate::DeclareError;
use crate::declare::error::{from_datafusion, nearest};
use crate::declare::mutual;
use crate::functions;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Constraint, Constraints, DataFusionError, Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::{Optimizer, OptimizerContext};
use datafusion::prelude::SessionConfig;
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::{ColumnDef, Query, Statement};
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
    /// Its primary key, if it has one.
    pub(crate) key: Vec<usize>,
    /// What its columns of text are.
    pub(crate) told: told::Known,
}

/// A relation that says its key, so that its other columns may stand beside it where a query is grouped by it.
struct Keyed(Arc<Relation>, Constraints);

impl TableSource for Keyed {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.1)
    }
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
    LazyLock::new(|| with_functions(without_late_pushdown(functions::state(settings()))));

/// A state that leaves filters where the optimiser of logical plans put them: the one of physical plans takes the two sides of a RIGHT
/// JOIN for each other where their columns share a name.
fn without_late_pushdown(state: SessionState) -> SessionState {
    let rules = state.physical_optimizers().iter().filter(|rule| !rule.name().starts_with("FilterPushdown"));
    let rules = rules.cloned().collect();
    let logical = pushdown::corrected(state.optimizer().rules.iter().cloned());
    SessionStateBuilder::new_from_existing(state)
        .with_physical_optimizer_rules(rules)
        .with_optimizer_rules(logical)
        .build()
}

/// The state with the aggregates that PostgreSQL has and DataFusion has not.
fn with_functions(mut state: SessionState) -> SessionState {
    for function in aggregates::all() {
        state.register_udaf(function).expect("a state takes any function");
    }
    state
}

/// The functions and settings that queries are planned and run with.
pub(crate) fn state() -> &'static SessionState {
    &STATE
}

/// The names that one query may use.
pub(super) struct Names<'a> {
    pub(super) relations: &'a Relations,
    /// The relations of a WITH MUTUALLY RECURSIVE, which hide others.
    pub(super) held: &'a BTreeMap<String, Arc<Held>>,
    /// Whether primary keys are told.
    pub(super) keyed: bool,
}

impl ContextProvider for Names<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        if let Some(held) = name.schema().is_none().then(|| self.held.get(name.table())).flatten() {
            return Ok(held.clone());
        }
        let found = name.schema().is_none().then(|| self.relations.get(name.table())).flatten();
        if let Some(relation) = found {
            if self.keyed && !relation.key.is_empty() {
                let key = Constraints::new_unverified(vec![Constraint::PrimaryKey(relation.key.clone())]);
                return Ok(Arc::new(Keyed(relation.clone(), key)));
            }
            return Ok(relation.clone());
        }
        let hint = match nearest(name.table(), self.relations.keys().map(String::as_str)) {
            Some(near) => format!("did you mean {near:?}?"),
            None if self.relations.is_empty() => "nothing is declared yet".into(),
            None => format!("there are {}", self.relations.keys().cloned().collect::<Vec<_>>().join(", ")),
        };
        Err(DataFusionError::Plan(format!("no table or view {:?}: {hint}", name.to_string())))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        STATE.expr_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(functions::types())
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        lists::function(name).or_else(|| STATE.scalar_functions().get(name).cloned())
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

/// The columns of a `CREATE TABLE`.
pub(crate) fn columns(list: Vec<ColumnDef>) -> Result<Schema, DeclareError> {
    let relations = Relations::new();
    let names = Names { relations: &relations, held: &BTreeMap::new(), keyed: false };
    SqlToRel::new_with_options(&names, ParserOptions::from(&settings().options().sql_parser))
        .build_schema(list)
        .map_err(from_datafusion)
}

/// A query as it was written, with every name resolved and views in their places.
pub(crate) fn plan(query: Query, relations: &Relations) -> Result<LogicalPlan, DeclareError> {
    match mutual::taken(recursive::named(query)) {
        (query, Some(mutual)) => recursive::planned(query, mutual, relations),
        (query, None) => planned(query, &Names { relations, held: &BTreeMap::new(), keyed: false }),
    }
}

/// A query as it is written; where it names what there is not, with the names of other systems in PostgreSQL's words.
pub(super) fn planned(query: Query, names: &Names<'_>) -> Result<LogicalPlan, DeclareError> {
    let mut other = query.clone();
    let why = match as_written(query, names) {
        Err(why) if names_nothing(&why) => why,
        planned => return planned,
    };
    crate::rewrite::rewrite(&mut other)?;
    super::names::name(&mut other);
    let borrowed = crate::rewrite::borrowed::written(&mut other)?;
    let whole = crate::rewrite::whole::written(&mut other, &|text| column_names(text, names));
    match borrowed || whole {
        true => as_written(other, names).map_err(|again| if borrowed { again } else { why }),
        false => Err(why),
    }
}

/// Whether a query failed since a function or a column is not there.
fn names_nothing(why: &DeclareError) -> bool {
    let text = why.to_string().to_lowercase();
    ["invalid function", "no column", "dot access", "names given as column alias"]
        .iter()
        .any(|part| text.contains(part))
}

/// A query, with what DataFusion would understand otherwise than PostgreSQL said in other words.
fn as_written(mut query: Query, names: &Names<'_>) -> Result<LogicalPlan, DeclareError> {
    super::size::check(&query, names)?;
    crate::rewrite::rewrite(&mut query)?;
    functions::postgresql_syntax(&mut query);
    super::fetch::said_as_limit(&mut query)?;
    super::asof::rewrite(&mut query)?;
    super::using::rewrite(&mut query, &|text| column_names(text, names))?;
    casts::distinguish(&mut query);
    super::names::name(&mut query);
    super::ordered::rewrite(&mut query, &|text| column_names(text, names));
    let grouped = Names { keyed: true, ..*names };
    SqlToRel::new(names)
        .sql_statement_to_plan(Statement::Query(Box::new(query.clone())))
        .or_else(|why| match why.to_string().contains("GROUP BY") {
            true => SqlToRel::new(&grouped)
                .sql_statement_to_plan(Statement::Query(Box::new(query.clone())))
                .map_err(|_| why),
            false => Err(why),
        })
        .or_else(|why| match crate::rewrite::elements::valued(&mut query) {
            true => SqlToRel::new(names)
                .sql_statement_to_plan(Statement::Query(Box::new(query.clone())))
                .map_err(|_| why),
            false => Err(why),
        })
        .or_else(|why| match crate::rewrite::called(&mut query) {
            true => {
                SqlToRel::new(names).sql_statement_to_plan(Statement::Query(Box::new(query))).map_err(|_| why)
            }
            false => Err(why),
        })
        .and_then(|plan| json::said(plan, names.relations))
        .and_then(|plan| super::intervals::keyed(plan, names.relations))
        .and_then(meaning::as_in_postgres)
        .and_then(super::subquery::level::checked)
        .and_then(lateral::attached)
        .and_then(clock::placed)
        .map_err(from_datafusion)
}

/// The names of the columns of a query, if it can be planned.
fn column_names(text: &str, names: &Names<'_>) -> Option<Vec<String>> {
    let query = Box::new(crate::rewrite::query(text).ok()?);
    let plan = SqlToRel::new(names).sql_statement_to_plan(Statement::Query(query)).ok()?;
    Some(plan.schema().fields().iter().map(|field| field.name().clone()).collect())
}

/// Types made equal where they must be, and columns that nobody reads taken out.
pub(crate) fn analyse(plan: LogicalPlan) -> Result<LogicalPlan, DeclareError> {
    let plan = super::nulls::equated(super::unions::floated(plan)?)?;
    let plan = super::subquery::flatten(super::intervals::measured(super::sets::counted(plan)?)?)?;
    let typed = functions::analyzer()
        .execute_and_check(plan, STATE.config_options(), |_, _| {})
        .and_then(sets::expand)
        .and_then(super::ties::distinct_by_number)
        .map_err(from_datafusion)?;
    run(Optimizer::with_rules(vec![Arc::new(OptimizeProjections::new())]), typed)
}

/// The plan that is lowered.
pub(crate) fn optimise(plan: LogicalPlan) -> Result<LogicalPlan, DeclareError> {
    let mut optimizer = Optimizer::new();
    optimizer.rules.retain(|rule| !RULES_LEFT_OUT.contains(&rule.name()));
    optimizer.rules = pushdown::corrected(optimizer.rules.into_iter());
    let plan = run(optimizer, plan)?;
    super::repeated::bounded(&plan).map_err(from_datafusion)?;
    let plan = clock::inlined(plan).map_err(from_datafusion)?;
    match plan.transformed {
        true => run(Optimizer::with_rules(vec![Arc::new(OptimizeProjections::new())]), plan.data),
        false => Ok(plan.data),
    }
}

fn run(optimizer: Optimizer, plan: LogicalPlan) -> Result<LogicalPlan, DeclareError> {
    // The clock of this machine must not get into a plan.
    let context = OptimizerContext::new_with_config_options(STATE.config_options().clone())
        .without_query_execution_start_time();
    optimizer.optimize(plan, &context, |_, _| {}).map_err(from_datafusion)
}
