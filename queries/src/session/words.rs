//! Types as CREATE TABLE spells them.
use crate::DeclareError;

/// How a type is written in CREATE TABLE.
pub(super) fn sql_type(data_type: &arrow::datatypes::DataType) -> Result<String, DeclareError> {
    use arrow::datatypes::{DataType::*, TimeUnit};
    Ok(match data_type {
        Boolean => "BOOLEAN".into(),
        Int8 => "TINYINT".into(),
        Int16 => "SMALLINT".into(),
        Int32 => "INT".into(),
        Int64 => "BIGINT".into(),
        UInt8 => "TINYINT UNSIGNED".into(),
        UInt16 => "SMALLINT UNSIGNED".into(),
        UInt32 => "INT UNSIGNED".into(),
        UInt64 => "BIGINT UNSIGNED".into(),
        Float16 | Float32 => "REAL".into(),
        Float64 => "DOUBLE PRECISION".into(),
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => {
            format!("NUMERIC({p}, {s})")
        }
        Null | Utf8 | Utf8View | LargeUtf8 => "TEXT".into(),
        Binary | BinaryView | LargeBinary | FixedSizeBinary(_) => "BYTEA".into(),
        Date32 => "DATE".into(),
        // It counts milliseconds.
        Date64 => "TIMESTAMP(3)".into(),
        Time32(_) | Time64(_) => "TIME".into(),
        Timestamp(unit, zone) => {
            let digits = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            format!("TIMESTAMP({digits}){}", if zone.is_some() { " WITH TIME ZONE" } else { "" })
        }
        Interval(_) | Duration(_) => "INTERVAL".into(),
        List(item) | LargeList(item) | ListView(item) | LargeListView(item) | FixedSizeList(item, _) => {
            format!("{}[]", sql_type(item.data_type())?)
        }
        Dictionary(_, values) => sql_type(values)?,
        Struct(fields) => {
            let list =
                fields.iter().map(|field| Ok(format!("{} {}", field.name(), sql_type(field.data_type())?)));
            format!("STRUCT<{}>", list.collect::<Result<Vec<_>, DeclareError>>()?.join(", "))
        }
        other => {
            return Err(DeclareError::Unsupported(format!(
                "a column of type {other} cannot be created by CREATE TABLE AS: add a CAST"
            )));
        }
    })
}
