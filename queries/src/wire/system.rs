//! Questions about the system itself: `pg_catalog`, `information_schema` and the functions beside them. They are asked in all of SQL
//! that clients know (subqueries that mean the row around them, lists, functions that give rows), of some thousand rows; so they are
//! answered by an evaluator of their own, row by row, as PostgreSQL would.
//!
//! | file | what it is |
//! |---|---|
//! | `relations` | tables and views as they were declared |
//! | `fixed`, `tables`, `views`, `described` | the rows of PostgreSQL's own, of `pg_catalog`, of `information_schema` |
//! | `world` | all rows as of one catalogue, and the names in them |
//! | `bind`, `operators`, `called`, `cast`, `query`, `from` | expressions and queries with their names bound and their types known |
//! | `node`, `run`, `groups` | what they give |
//! | `calls`, `texts` | functions |
//! | `value` | values |
mod bind;
mod called;
mod calls;
mod cast;
mod described;
mod fixed;
mod from;
mod groups;
mod node;
mod operators;
mod query;
mod relations;
mod run;
mod tables;
mod texts;
mod value;
mod views;
mod world;

use super::fault::fault;
use crate::session::Session;
use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, ListArray,
    RecordBatch, RecordBatchOptions, StringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bind::Shared;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{Query, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use node::{Asked, Node, Plan};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use value::{Row, Value};
use world::World;

/// Why a question has no answer: its SQLSTATE and what is said.
#[derive(Debug)]
pub(super) struct Failure {
    code: String,
    message: String,
}

impl Failure {
    fn of(code: &str, message: &str) -> Failure {
        Failure { code: code.into(), message: message.into() }
    }
}

impl From<Failure> for PgWireError {
    fn from(why: Failure) -> PgWireError {
        fault(&why.code, why.message)
    }
}

fn refused(message: String) -> Failure {
    Failure { code: "0A000".into(), message }
}

/// Who answers questions.
pub(super) struct System {
    session: Session,
    fixed: Arc<fixed::All>,
    /// The world as of the catalogue whose statements are these.
    known: Mutex<Option<Known>>,
}

type Known = (Vec<Arc<str>>, usize, Arc<World>);

/// A question with its names bound.
#[derive(Clone)]
pub(super) struct Question {
    plan: Arc<Plan>,
    world: Arc<World>,
    parameters: Arc<[Option<Type>]>,
}

/// Who asks.
pub(super) struct Asker<'a> {
    pub(super) user: &'a str,
    /// The value of a setting.
    pub(super) setting: &'a (dyn Fn(&str) -> Option<String> + Sync),
}

impl System {
    /// For a session.
    pub(super) fn new(session: Session) -> PgWireResult<System> {
        Ok(System { session, fixed: Arc::new(fixed::all()?), known: Mutex::default() })
    }

    fn world(&self) -> Arc<World> {
        let catalogue = self.session.catalogue();
        let statements: Vec<Arc<str>> = catalogue.entries().iter().map(|entry| entry.sql.clone()).collect();
        let functions = catalogue.functions().len();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |one: &[Arc<str>]| {
            one.len() == statements.len() && one.iter().zip(&statements).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        match &*known {
            Some((before, count, world)) if *count == functions && is_same(before) => world.clone(),
            _ => {
                let world = Arc::new(World::new(&catalogue, self.fixed.clone()));
                *known = Some((statements, functions, world.clone()));
                world
            }
        }
    }

    /// A question with its names bound.
    pub(super) fn question(&self, sql: &str) -> PgWireResult<Question> {
        let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql)
            .map_err(|why| super::fault::of(crate::declare::error::from_parser(&why, None)))?;
        match parsed.pop() {
            Some(Statement::Query(query)) => Ok(self.bound(&query)?),
            _ => Err(fault("42501", "system tables cannot be changed".into())),
        }
    }

    fn bound(&self, query: &Query) -> Result<Question, Failure> {
        let world = self.world();
        let shared = Shared { world: &world, parameters: RefCell::default(), slots: Cell::new(0) };
        let plan = query::query(&shared, query, None, &vec![])?;
        let parameters = shared.parameters.into_inner().into();
        Ok(Question { plan: Arc::new(shown(plan)), world, parameters })
    }
}

/// A plan whose columns are sent: names in the place of the numbers that stand for them.
fn shown(plan: Plan) -> Plan {
    let columns = plan.columns.iter().enumerate();
    let output = columns
        .map(|(at, column)| cast::named(bind::Typed::new(Node::Column { up: 0, at }, column.kind.clone())));
    let (output, kinds): (Vec<Node>, Vec<Type>) = output.map(|typed| (typed.node, typed.kind)).unzip();
    let mut shown = plan.columns.clone();
    shown.iter_mut().zip(kinds).for_each(|(column, kind)| column.kind = kind);
    let (width, visible) = (output.len(), output.len());
    let step = node::Step {
        source: node::Source::Query(plan, false),
        width,
        is_outer: false,
        on: vec![],
        keys: vec![],
        after: vec![],
    };
    let select = node::Select { steps: vec![step], width, output, visible, ..node::Select::default() };
    Plan {
        columns: shown,
        body: node::Body::Select(Box::new(select)),
        order: vec![],
        limit: None,
        offset: None,
    }
}

impl Question {
    /// The types of its parameters, as far as they are known.
    pub(super) fn parameters(&self) -> Vec<Option<Type>> {
        self.parameters.to_vec()
    }

    /// Its columns.
    pub(super) fn schema(&self) -> SchemaRef {
        let field = |column: &node::Column| {
            let (datatype, metadata) = sent(&column.kind);
            Field::new(&column.name, datatype, true).with_metadata(metadata)
        };
        Arc::new(Schema::new(self.plan.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// Its answer.
    pub(super) fn rows(
        &self,
        asker: &Asker<'_>,
        parameters: &[ScalarValue],
    ) -> PgWireResult<(SchemaRef, Vec<RecordBatch>)> {
        let parameters: Vec<Value> = parameters.iter().map(given).collect();
        let asked = Asked {
            world: &self.world,
            user: asker.user,
            setting: asker.setting,
            parameters: &parameters,
            recursive: RefCell::default(),
            looked: Cell::new(0),
        };
        let rows = run::rows(&self.plan, &asked, None)?;
        let schema = self.schema();
        let columns = schema
            .fields()
            .iter()
            .enumerate()
            .map(|(at, field)| array(&rows, at, field.data_type()))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options);
        Ok((schema, vec![batch.map_err(|why| fault("XX000", why.to_string()))?]))
    }
}

/// The Arrow type that a type is sent by.
fn sent(kind: &Type) -> (DataType, HashMap<String, String>) {
    let of = |name: &str, value: &str| HashMap::from([(name.to_string(), value.to_string())]);
    let none = HashMap::new;
    match *kind {
        Type::BOOL => (DataType::Boolean, none()),
        Type::INT2 => (DataType::Int16, none()),
        Type::INT4 => (DataType::Int32, none()),
        Type::INT8 => (DataType::Int64, none()),
        Type::OID => (DataType::Int32, of("pg.oid_alias", "oid")),
        Type::FLOAT4 => (DataType::Float32, none()),
        Type::FLOAT8 => (DataType::Float64, none()),
        Type::JSON | Type::JSONB => (DataType::Utf8, of("ARROW:extension:name", "arrow.json")),
        _ => match super::oid::element_of(kind) {
            Some(element) => {
                let (element, metadata) = sent(&element);
                (DataType::List(Arc::new(Field::new("item", element, true).with_metadata(metadata))), none())
            }
            None => (DataType::Utf8, none()),
        },
    }
}

fn array(rows: &[Row], at: usize, datatype: &DataType) -> ArrayRef {
    let values: Vec<&Value> = rows.iter().map(|row| row.get(at).unwrap_or(&Value::Null)).collect();
    column(&values, datatype)
}

fn column(values: &[&Value], datatype: &DataType) -> ArrayRef {
    let number = |value: &&Value| if value.is_null() { None } else { value.number() };
    let float = |value: &&Value| match value {
        Value::Float(number) => Some(*number),
        other => number(other).map(|number| number as f64),
    };
    match datatype {
        DataType::Boolean => Arc::new(
            values.iter().map(|value| (!value.is_null()).then(|| value.holds())).collect::<BooleanArray>(),
        ),
        DataType::Int16 => {
            Arc::new(values.iter().map(|value| number(value).map(|n| n as i16)).collect::<Int16Array>())
        }
        DataType::Int32 => {
            Arc::new(values.iter().map(|value| number(value).map(|n| n as i32)).collect::<Int32Array>())
        }
        DataType::Int64 => Arc::new(values.iter().map(number).collect::<Int64Array>()),
        DataType::Float32 => {
            Arc::new(values.iter().map(|value| float(value).map(|n| n as f32)).collect::<Float32Array>())
        }
        DataType::Float64 => Arc::new(values.iter().map(float).collect::<Float64Array>()),
        DataType::List(field) => {
            let lists: Vec<Option<Arc<[Value]>>> = values.iter().map(|value| value.members()).collect();
            let members: Vec<&Value> = lists.iter().flatten().flat_map(|list| list.iter()).collect();
            let lengths = lists.iter().map(|list| list.as_ref().map_or(0, |list| list.len()));
            let nulls = NullBuffer::from(lists.iter().map(Option::is_some).collect::<Vec<_>>());
            Arc::new(ListArray::new(
                field.clone(),
                OffsetBuffer::from_lengths(lengths),
                column(&members, field.data_type()),
                Some(nulls),
            ))
        }
        _ => Arc::new(
            values.iter().map(|value| (!value.is_null()).then(|| value.text())).collect::<StringArray>(),
        ),
    }
}

/// A parameter's value.
fn given(value: &ScalarValue) -> Value {
    match value {
        value if value.is_null() => Value::Null,
        ScalarValue::Boolean(Some(yes)) => Value::Bool(*yes),
        ScalarValue::Int8(Some(number)) => Value::Int((*number).into()),
        ScalarValue::Int16(Some(number)) => Value::Int((*number).into()),
        ScalarValue::Int32(Some(number)) => Value::Int((*number).into()),
        ScalarValue::Int64(Some(number)) => Value::Int(*number),
        ScalarValue::UInt32(Some(number)) => Value::Int((*number).into()),
        ScalarValue::Float32(Some(number)) => Value::Float((*number).into()),
        ScalarValue::Float64(Some(number)) => Value::Float(*number),
        ScalarValue::List(list) => {
            let members = list.value(0);
            let member =
                |i| ScalarValue::try_from_array(&members, i).map_or(Value::Null, |value| given(&value));
            Value::list((0..arrow::array::Array::len(&members)).map(member))
        }
        other => match other.try_as_str().flatten() {
            Some(text) => Value::from(text),
            None => Value::from(other.to_string()),
        },
    }
}
