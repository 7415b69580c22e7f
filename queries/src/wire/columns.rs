//! `information_schema`, with the columns of our tables and views under the names that PostgreSQL has for their types.
use super::oid;
use crate::catalogue::system::is_system;
use crate::session::Session;
use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field};
use async_trait::async_trait;
use datafusion::catalog::information_schema::InformationSchemaProvider;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::MemTable;
use datafusion_postgres::pgwire::api::Type;
use std::sync::Arc;

/// The relation of a column, its place, and itself.
type Column = (String, i32, Arc<Field>);

/// The schema: DataFusion's but for `columns`.
pub(super) struct Described {
    pub(super) session: Session,
    pub(super) others: InformationSchemaProvider,
}

impl std::fmt::Debug for Described {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Described")
    }
}

#[async_trait]
impl SchemaProvider for Described {
    fn table_names(&self) -> Vec<String> {
        self.others.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if name != "columns" {
            return self.others.table(name).await;
        }
        let batch = columns(&self.session)?;
        Ok(Some(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.others.table_exist(name)
    }
}

fn columns(session: &Session) -> Result<RecordBatch> {
    let catalogue = session.catalogue();
    let mut rows: Vec<(String, i32, Arc<Field>)> = vec![];
    for entry in catalogue.entries().iter().filter(|entry| !is_system(entry.declared.name())) {
        let name = entry.declared.name();
        if let Ok(schema) = catalogue.schema(name) {
            rows.extend((1..).zip(schema.fields()).map(|(at, field)| (name.to_string(), at, field.clone())));
        }
    }
    let text = |of: &dyn Fn(&Column) -> Option<String>| {
        Arc::new(rows.iter().map(of).collect::<StringArray>()) as ArrayRef
    };
    let number = |of: &dyn Fn(&Column) -> Option<i32>| {
        Arc::new(rows.iter().map(of).collect::<Int32Array>()) as ArrayRef
    };
    let always = |value: &str| text(&|_| Some(value.to_string()));
    let datatype = |field: &Field| oid::of_field(field).unwrap_or(Type::TEXT);
    let precision = |(_, _, field): &Column| numbers(field.data_type());
    Ok(RecordBatch::try_from_iter_with_nullable(
        [
            ("table_catalog", always(super::catalog::DATABASE)),
            ("table_schema", always("public")),
            ("table_name", text(&|row| Some(row.0.clone()))),
            ("column_name", text(&|row| Some(row.2.name().clone()))),
            ("ordinal_position", number(&|row| Some(row.1))),
            ("column_default", text(&|_| None)),
            ("is_nullable", text(&|row| Some(if row.2.is_nullable() { "YES" } else { "NO" }.into()))),
            ("data_type", text(&|row| Some(long_name(&datatype(&row.2)).into()))),
            ("character_maximum_length", number(&|_| None)),
            ("numeric_precision", number(&|row| precision(row).map(|(precision, ..)| precision))),
            ("numeric_precision_radix", number(&|row| precision(row).map(|(.., radix)| radix))),
            ("numeric_scale", number(&|row| precision(row).and_then(|(_, scale, _)| scale))),
            ("datetime_precision", number(&|row| is_instant(row.2.data_type()).then_some(6))),
            ("udt_catalog", always(super::catalog::DATABASE)),
            ("udt_schema", always("pg_catalog")),
            ("udt_name", text(&|row| Some(datatype(&row.2).name().to_string()))),
            ("is_identity", always("NO")),
            ("is_generated", always("NEVER")),
        ]
        .map(|(name, column)| (name, column, true)),
    )?)
}

/// Digits, digits after the point, and what they count in.
fn numbers(datatype: &DataType) -> Option<(i32, Option<i32>, i32)> {
    match datatype {
        DataType::Int16 => Some((16, Some(0), 2)),
        DataType::Int32 => Some((32, Some(0), 2)),
        DataType::Int64 => Some((64, Some(0), 2)),
        DataType::Float32 => Some((24, None, 2)),
        DataType::Float64 => Some((53, None, 2)),
        DataType::Decimal128(precision, scale) => Some((i32::from(*precision), Some(i32::from(*scale)), 10)),
        _ => None,
    }
}

fn is_instant(datatype: &DataType) -> bool {
    matches!(datatype, DataType::Timestamp(..) | DataType::Time64(_) | DataType::Interval(_))
}

fn long_name(datatype: &Type) -> &str {
    match *datatype {
        Type::BOOL => "boolean",
        Type::INT2 => "smallint",
        Type::INT4 => "integer",
        Type::INT8 => "bigint",
        Type::FLOAT4 => "real",
        Type::FLOAT8 => "double precision",
        Type::TIMESTAMP => "timestamp without time zone",
        Type::TIMESTAMPTZ => "timestamp with time zone",
        Type::TIME => "time without time zone",
        _ if oid::element_of(datatype).is_some() => "ARRAY",
        _ => datatype.name(),
    }
}
