//! Arrow rows to `DataRow` messages.
use super::cell::{Cell, cell};
use super::fault::fault;
use super::{binary, oid, text};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::{BufMut, BytesMut};
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::{FieldFormat, FieldInfo, QueryResponse};
use datafusion_postgres::pgwire::error::PgWireResult;
use datafusion_postgres::pgwire::messages::data::DataRow;
use std::sync::Arc;

/// The answer of rows, encoded one by one as they are sent.
pub(super) fn response(
    schema: &Schema,
    batches: Vec<RecordBatch>,
    format: &Format,
    tag: &str,
) -> PgWireResult<QueryResponse> {
    let fields = Arc::new(oid::columns(schema, format)?);
    let described = fields.clone();
    let rows = batches.into_iter().flat_map(move |batch| messages(batch, described.clone()));
    let mut response = QueryResponse::new(fields, futures::stream::iter(rows));
    response.set_command_tag(tag);
    Ok(response)
}

/// The rows of a batch.
pub(super) fn messages(
    batch: RecordBatch,
    fields: Arc<Vec<FieldInfo>>,
) -> impl Iterator<Item = PgWireResult<DataRow>> {
    (0..batch.num_rows()).map(move |i| row(&batch, i, &fields))
}

fn row(batch: &RecordBatch, at: usize, fields: &[FieldInfo]) -> PgWireResult<DataRow> {
    let mut out = BytesMut::with_capacity(fields.len() * 16);
    let mut buffer = String::new();
    for (column, field) in batch.columns().iter().zip(fields) {
        let value = cell(column.as_ref(), at)?;
        let padded = match &value {
            // A char(n) has its length on the wire.
            Cell::Text(text) if *field.datatype() == Type::BPCHAR => {
                let length = usize::try_from(field.type_modifier() - 4).unwrap_or(0);
                Some(format!("{text:<length$}"))
            }
            _ => None,
        };
        let value = padded.as_deref().map_or(value, Cell::Text);
        match field.format() {
            _ if matches!(value, Cell::Null) => out.put_i32(-1),
            FieldFormat::Binary => binary::sized(&mut out, &value, field.datatype())?,
            FieldFormat::Text => {
                buffer.clear();
                text::write(&mut buffer, &value, field.datatype())?;
                let length = i32::try_from(buffer.len())
                    .map_err(|_| fault("54000", "a value is larger than 2 GiB".into()))?;
                out.put_i32(length);
                out.put_slice(buffer.as_bytes());
            }
        }
    }
    let count = i16::try_from(fields.len()).map_err(|_| fault("54011", "too many columns".into()))?;
    Ok(DataRow::new(out, count))
}

/// Rows in the columns that a client was told of before. They differ where a parameter had no type while it was described.
pub(super) fn as_described(
    described: &SchemaRef,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
) -> PgWireResult<(SchemaRef, Vec<RecordBatch>)> {
    let types = |schema: &Schema| {
        schema.fields().iter().map(|field| oid::of_field(field)).collect::<PgWireResult<Vec<_>>>()
    };
    if types(described)? == types(&schema)? {
        return Ok((schema, batches));
    }
    let changed =
        || fault("0A000", "cached plan must not change result type: prepare the statement again".into());
    if described.fields().len() != schema.fields().len() {
        return Err(changed());
    }
    let cast = |batch: RecordBatch| {
        let columns = batch.columns().iter().zip(described.fields());
        let columns: Result<Vec<_>, _> = columns
            .map(|(column, field)| {
                let target = match field.data_type() {
                    DataType::Null => &DataType::Utf8,
                    other => other,
                };
                arrow::compute::cast_with_options(column, target, &STRICT)
            })
            .collect();
        RecordBatch::try_new(sendable(described), columns.map_err(|_| changed())?).map_err(|_| changed())
    };
    let batches = batches.into_iter().map(cast).collect::<PgWireResult<_>>()?;
    Ok((sendable(described), batches))
}

const STRICT: arrow::compute::CastOptions<'static> =
    arrow::compute::CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

/// The same columns, nullable, those without a type as text.
fn sendable(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| {
        let datatype = match field.data_type() {
            DataType::Null => DataType::Utf8,
            other => other.clone(),
        };
        field.as_ref().clone().with_data_type(datatype).with_nullable(true)
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}
