//! What clients ask about the system itself: `pg_catalog`, `information_schema` and the functions beside them, answered by
//! DataFusion over the names and columns of our tables and views. Their rows are not read here: the session reads them.
use super::asked;
use super::columns::Described;
use super::command::Command;
use super::fault::{fault, fault_of_plan};
use crate::Catalogue;
use crate::api::host::QueryKind;
use crate::catalogue::system::is_system;
use crate::session::Session as Statements;
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::information_schema::InformationSchemaProvider;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider, Session, TableProvider};
use datafusion::common::{DataFusionError, ParamValues, Result, ScalarValue, not_impl_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TableType,
    Volatility,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::error::PgWireResult;
use std::sync::Arc;

/// The only database, whatever name a client connects to.
pub(super) const DATABASE: &str = "tallyflow";
/// The PostgreSQL whose manners we have.
pub(super) const VERSION: &str = "16.6";

/// Answers about the system.
pub(super) struct Catalog {
    context: SessionContext,
    parser: PostgresCompatibilityParser,
}

impl Catalog {
    /// A catalog of what is declared, as it is when asked.
    pub(super) fn new(session: Statements) -> Result<Catalog> {
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(DATABASE, "public")
            .with_create_default_catalog_and_schema(false)
            .with_target_partitions(1);
        config.options_mut().sql_parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        let context = SessionContext::new_with_config(config);
        let database = MemoryCatalogProvider::new();
        database.register_schema("public", Arc::new(Public { session: session.clone() }))?;
        let database: Arc<dyn CatalogProvider> = Arc::new(database);
        context.register_catalog(DATABASE, database.clone());
        setup_pg_catalog(&context, DATABASE, EmptyContextProvider).map_err(|why| *why)?;
        let others = InformationSchemaProvider::new(context.state().catalog_list().clone());
        database.register_schema("information_schema", Arc::new(Described { session, others }))?;
        let version = format!("PostgreSQL {VERSION} (Tallyflow {})", env!("CARGO_PKG_VERSION"));
        let none = ScalarValue::Utf8(None);
        let yes = ScalarValue::Boolean(Some(true));
        let fixed = [
            ("version", ScalarValue::from(version)),
            ("obj_description", none.clone()),
            ("col_description", none.clone()),
            ("shobj_description", none.clone()),
            ("pg_get_viewdef", none.clone()),
            ("pg_get_indexdef", none.clone()),
            ("pg_get_functiondef", none.clone()),
            ("pg_get_function_identity_arguments", none.clone()),
            ("pg_get_function_arguments", none.clone()),
            ("pg_get_function_result", none.clone()),
            ("pg_get_triggerdef", none.clone()),
            ("pg_get_ruledef", none.clone()),
            ("pg_get_serial_sequence", none),
            ("pg_is_in_recovery", ScalarValue::Boolean(Some(false))),
            ("pg_function_is_visible", yes.clone()),
            ("pg_type_is_visible", yes.clone()),
            ("pg_opclass_is_visible", yes.clone()),
            ("has_column_privilege", yes.clone()),
            ("has_function_privilege", yes.clone()),
            ("has_sequence_privilege", yes.clone()),
            ("pg_has_role", yes),
            ("pg_size_pretty", ScalarValue::from("0 bytes")),
            ("pg_database_size", ScalarValue::Int64(Some(0))),
            ("pg_tablespace_location", ScalarValue::from("")),
            ("inet_server_addr", ScalarValue::from("127.0.0.1")),
        ];
        for (name, value) in fixed {
            context.register_udf(ScalarUDF::from(Function {
                name,
                answer: Answer::Fixed(value),
                ..Function::any()
            }));
        }
        for name in ["current_setting", "set_config"] {
            context.register_udf(ScalarUDF::from(Function {
                name,
                answer: Answer::Setting,
                ..Function::any()
            }));
        }
        Ok(Catalog { context, parser: PostgresCompatibilityParser::new() })
    }

    /// The plan of a question, with its parameters open.
    pub(super) async fn plan(&self, command: &Command) -> PgWireResult<LogicalPlan> {
        let mut parsed = self
            .parser
            .parse(&command.sql)
            .map_err(|why| super::fault::of(crate::declare::error::from_parser(&why, None)))?;
        let mut statement = parsed.pop().ok_or_else(|| fault("42601", "there is no statement".into()))?;
        asked::plainly(&mut statement);
        let state = self.context.state();
        let plan = match state.statement_to_plan(Statement::Statement(Box::new(statement.clone()))).await {
            Err(why) if why.to_string().contains("must be aggregated") => {
                asked::singly(&mut statement);
                state.statement_to_plan(Statement::Statement(Box::new(statement))).await
            }
            plan => plan,
        };
        let plan = plan.map_err(fault_of_plan)?;
        match plan {
            LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_) => {
                Err(fault("42501", "system tables cannot be changed".into()))
            }
            plan => Ok(plan),
        }
    }

    /// The types of a plan's parameters, as far as they are known.
    pub(super) fn parameters(plan: &LogicalPlan) -> Vec<Option<Type>> {
        let mut types = Vec::new();
        for (name, field) in plan.get_parameter_fields().unwrap_or_default() {
            if let Ok(number @ 1..=65_535) = name.trim_start_matches('$').parse::<usize>() {
                types.resize(types.len().max(number), None);
                types[number - 1] = field.and_then(|field| super::oid::of_field(&field).ok());
            }
        }
        types
    }

    /// The answer.
    pub(super) async fn rows(
        &self,
        plan: LogicalPlan,
        parameters: Vec<ScalarValue>,
    ) -> PgWireResult<(SchemaRef, Vec<RecordBatch>)> {
        let plan = match parameters.is_empty() {
            true => plan,
            false => {
                plan.replace_params_with_values(&ParamValues::from(parameters)).map_err(fault_of_plan)?
            }
        };
        let schema: SchemaRef = plan.schema().inner().clone();
        let frame = self.context.execute_logical_plan(plan).await.map_err(fault_of_plan)?;
        Ok((schema, frame.collect().await.map_err(fault_of_plan)?))
    }
}

/// The schema `public`: every table and view.
struct Public {
    session: Statements,
}

impl std::fmt::Debug for Public {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Public")
    }
}

#[async_trait]
impl SchemaProvider for Public {
    fn table_names(&self) -> Vec<String> {
        let catalogue = self.session.catalogue();
        let names = catalogue.entries().iter().map(|entry| entry.declared.name().to_string());
        names.filter(|name| !is_system(name)).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        Ok(Named::found(&self.session.catalogue(), name)
            .map(|named| Arc::new(named) as Arc<dyn TableProvider>))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.session.catalogue().get(name).is_some()
    }
}

/// A table or view that can be named and described.
#[derive(Debug)]
struct Named {
    name: String,
    kind: QueryKind,
    schema: SchemaRef,
    sql: Arc<str>,
}

impl Named {
    fn found(catalogue: &Catalogue, name: &str) -> Option<Named> {
        let entry = catalogue.entry(name)?;
        let schema = catalogue.schema(name).ok()?;
        Some(Named { name: name.into(), kind: entry.declared.kind(), schema, sql: entry.sql.clone() })
    }
}

#[async_trait]
impl TableProvider for Named {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        match self.kind {
            QueryKind::Table => TableType::Base,
            QueryKind::View | QueryKind::MaterializedView => TableType::View,
        }
    }

    fn get_table_definition(&self) -> Option<&str> {
        Some(&self.sql)
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        not_impl_err!(
            "a query that reads {:?} together with system tables is not supported: ask in two queries",
            self.name
        )
    }
}

/// A function of the system that takes anything.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    name: &'static str,
    answer: Answer,
    signature: Signature,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Answer {
    Fixed(ScalarValue),
    /// The setting that the first argument names.
    Setting,
}

impl Function {
    fn any() -> Function {
        let signature = Signature::one_of(
            vec![
                datafusion::logical_expr::TypeSignature::Nullary,
                datafusion::logical_expr::TypeSignature::VariadicAny,
            ],
            Volatility::Stable,
        );
        Function { name: "", answer: Answer::Setting, signature }
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match &self.answer {
            Answer::Fixed(value) => value.data_type(),
            Answer::Setting => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let value = match &self.answer {
            Answer::Fixed(value) => value.clone(),
            Answer::Setting => {
                let name = match args.args.first() {
                    Some(ColumnarValue::Scalar(name)) => name.clone(),
                    Some(ColumnarValue::Array(names)) if !names.is_empty() => {
                        ScalarValue::try_from_array(names, 0)?
                    }
                    _ => ScalarValue::Utf8(None),
                };
                let text = name.try_as_str().flatten().unwrap_or_default().to_lowercase();
                ScalarValue::Utf8(super::settings::fixed(&text).map(str::to_string))
            }
        };
        Ok(ColumnarValue::Scalar(value))
    }
}

/// A result without columns.
pub(super) fn no_columns() -> SchemaRef {
    Arc::new(Schema::empty())
}
