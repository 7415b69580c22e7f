//! PostgreSQL's types of Arrow's, for row descriptions and parameters.
use super::fault::fault;
use crate::lower::told::PG_TYPE;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::FieldInfo;
use datafusion_postgres::pgwire::error::PgWireResult;

/// The type of a column.
pub(super) fn of_field(field: &Field) -> PgWireResult<Type> {
    let metadata = |key: &str| field.metadata().get(key).map(String::as_str);
    if let Some((kind, _)) = metadata(PG_TYPE).and_then(told) {
        return Ok(kind);
    }
    match (metadata("pg.oid_alias"), metadata("ARROW:extension:name"), field.data_type()) {
        (Some(_), _, DataType::Int32 | DataType::UInt32) => Ok(Type::OID),
        (_, _, DataType::List(element)) if element.metadata().contains_key("pg.oid_alias") => {
            Ok(Type::OID_ARRAY)
        }
        (_, Some("arrow.uuid"), DataType::FixedSizeBinary(16)) => Ok(Type::UUID),
        (_, Some("arrow.json"), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => Ok(Type::JSONB),
        (_, _, datatype) => of(datatype),
    }
}

/// What a text is, from what is told of it: its type and the modifier that says its length.
pub(super) fn told(text: &str) -> Option<(Type, i32)> {
    let (name, length) = text.split_once(':').unwrap_or((text, ""));
    let kind = match name {
        "uuid" => Type::UUID,
        "json" => Type::JSON,
        "jsonb" => Type::JSONB,
        "bpchar" => Type::BPCHAR,
        "varchar" => Type::VARCHAR,
        _ => return None,
    };
    Some((kind, length.parse::<i32>().map_or(-1, |length| length.saturating_add(4))))
}

/// The type that an Arrow type is sent as.
pub(super) fn of(datatype: &DataType) -> PgWireResult<Type> {
    Ok(match datatype {
        DataType::Boolean => Type::BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => Type::INT2,
        DataType::Int32 | DataType::UInt16 => Type::INT4,
        DataType::Int64 | DataType::UInt32 => Type::INT8,
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => Type::NUMERIC,
        DataType::Float16 | DataType::Float32 => Type::FLOAT4,
        DataType::Float64 => Type::FLOAT8,
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Type::TEXT,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            Type::BYTEA
        }
        DataType::Date32 | DataType::Date64 => Type::DATE,
        DataType::Time32(_) | DataType::Time64(_) => Type::TIME,
        DataType::Timestamp(_, None) => Type::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => Type::TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => Type::INTERVAL,
        DataType::Struct(_) => Type::RECORD,
        DataType::Dictionary(_, value) => of(value)?,
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            array_of(&innermost(field))?
        }
        other => return Err(unsendable(other)),
    })
}

fn unsendable(datatype: &DataType) -> datafusion_postgres::pgwire::error::PgWireError {
    fault("0A000", format!("a column of type {datatype} cannot be sent: cast it to text"))
}

/// An array of arrays has the type of an array.
fn innermost(field: &Field) -> DataType {
    match field.data_type() {
        DataType::List(inner) | DataType::LargeList(inner) | DataType::FixedSizeList(inner, _) => {
            innermost(inner)
        }
        other => other.clone(),
    }
}

/// Element types and their arrays'.
const ARRAYS: [(Type, Type); 18] = [
    (Type::BOOL, Type::BOOL_ARRAY),
    (Type::INT2, Type::INT2_ARRAY),
    (Type::INT4, Type::INT4_ARRAY),
    (Type::INT8, Type::INT8_ARRAY),
    (Type::NUMERIC, Type::NUMERIC_ARRAY),
    (Type::FLOAT4, Type::FLOAT4_ARRAY),
    (Type::FLOAT8, Type::FLOAT8_ARRAY),
    (Type::TEXT, Type::TEXT_ARRAY),
    (Type::VARCHAR, Type::VARCHAR_ARRAY),
    (Type::BYTEA, Type::BYTEA_ARRAY),
    (Type::DATE, Type::DATE_ARRAY),
    (Type::TIME, Type::TIME_ARRAY),
    (Type::TIMESTAMP, Type::TIMESTAMP_ARRAY),
    (Type::TIMESTAMPTZ, Type::TIMESTAMPTZ_ARRAY),
    (Type::INTERVAL, Type::INTERVAL_ARRAY),
    (Type::RECORD, Type::RECORD_ARRAY),
    (Type::UUID, Type::UUID_ARRAY),
    (Type::OID, Type::OID_ARRAY),
];

fn array_of(datatype: &DataType) -> PgWireResult<Type> {
    array_of_element(&of(datatype)?).ok_or_else(|| unsendable(datatype))
}

/// The type of an array's elements; text, where it is no array.
pub(super) fn element(array: &Type) -> Type {
    element_of(array).unwrap_or(Type::TEXT)
}

/// The type of an array's elements.
pub(super) fn element_of(array: &Type) -> Option<Type> {
    ARRAYS.iter().find(|(_, known)| known == array).map(|(element, _)| element.clone())
}

/// The type of arrays of a type.
pub(super) fn array_of_element(element: &Type) -> Option<Type> {
    ARRAYS.iter().find(|(known, _)| known == element).map(|(_, array)| array.clone())
}

/// The description of a result's columns.
pub(super) fn columns(schema: &Schema, format: &Format) -> PgWireResult<Vec<FieldInfo>> {
    if let Format::Individual(codes) = format
        && codes.len() != schema.fields().len()
    {
        let (codes, columns) = (codes.len(), schema.fields().len());
        return Err(fault("08P01", format!("{codes} result formats for {columns} columns")));
    }
    let column = |(i, field): (usize, &std::sync::Arc<Field>)| {
        let datatype = of_field(field)?;
        let size = size(&datatype);
        let modifier = field.metadata().get(PG_TYPE).and_then(|text| told(text)).map_or(-1, |(_, long)| long);
        Ok(FieldInfo::new(field.name().clone(), None, None, datatype, format.format_for(i))
            .with_type_size(size)
            .with_type_modifier(modifier))
    };
    schema.fields().iter().enumerate().map(column).collect()
}

/// Bytes of a value of a type; -1 where they vary.
pub(super) fn size(datatype: &Type) -> i16 {
    match *datatype {
        Type::BOOL | Type::CHAR => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::FLOAT4 | Type::DATE | Type::OID => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ => 8,
        Type::INTERVAL | Type::UUID => 16,
        _ => -1,
    }
}
