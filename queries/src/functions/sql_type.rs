//! SQL's names of types to Arrow's: for columns of tables and for casts.
use crate::DeclareError;
use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo, StructField, TimezoneInfo,
};
use std::sync::Arc;

/// Marks the type of a cast that says no precision.
pub(super) const ANY_SCALE: &str = "tallyflow.any_scale";

/// Digits of a NUMERIC without precision, and how many of them are after the point.
const NUMERIC: (u8, i8) = (38, 10);

/// What a type of SQL is in Arrow; an error says what to write instead.
pub fn sql_type(sql: &SqlType) -> Result<DataType, DeclareError> {
    use SqlType::*;
    Ok(match sql {
        Text | TinyText | MediumText | LongText | String(_) | Varchar(_) | CharacterVarying(_) | Char(_)
        | Character(_) | CharVarying(_) | Nvarchar(_) | Uuid | JSON | JSONB => DataType::Utf8,
        Boolean | Bool => DataType::Boolean,
        TinyInt(_) => DataType::Int8,
        SmallInt(_) | Int2(_) => DataType::Int16,
        Int(_) | Integer(_) | Int4(_) | Int32 => DataType::Int32,
        BigInt(_) | Int8(_) | Int64 => DataType::Int64,
        Int16 => DataType::Int16,
        TinyIntUnsigned(_) | UTinyInt | UInt8 => DataType::UInt8,
        SmallIntUnsigned(_) | Int2Unsigned(_) | USmallInt | UInt16 => DataType::UInt16,
        IntUnsigned(_) | IntegerUnsigned(_) | Int4Unsigned(_) | UInt32 => DataType::UInt32,
        BigIntUnsigned(_) | Int8Unsigned(_) | UBigInt | UInt64 => DataType::UInt64,
        Real | Float4 | Float32 => DataType::Float32,
        // PostgreSQL: up to 24 binary digits are a real.
        Float(ExactNumberInfo::Precision(1..=24)) => DataType::Float32,
        Float(_) | Double(_) | DoublePrecision | Float8 | Float64 => DataType::Float64,
        Numeric(size) | Decimal(size) | Dec(size) => decimal(size, sql)?,
        Date | Date32 => DataType::Date32,
        Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => DataType::Time64(TimeUnit::Nanosecond),
        Timestamp(precision, zone) => {
            let zone = match zone {
                TimezoneInfo::Tz | TimezoneInfo::WithTimeZone => Some("UTC".into()),
                TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => None,
            };
            DataType::Timestamp(unit(*precision), zone)
        }
        TimestampNtz(precision) | Datetime(precision) => DataType::Timestamp(unit(*precision), None),
        Interval { .. } => DataType::Interval(IntervalUnit::MonthDayNano),
        Bytea | Blob(_) | Binary(_) | Varbinary(_) | Bytes(_) => DataType::Binary,
        Array(
            ArrayElemTypeDef::SquareBracket(inner, _)
            | ArrayElemTypeDef::AngleBracket(inner)
            | ArrayElemTypeDef::Parenthesis(inner),
        ) => DataType::List(Arc::new(Field::new_list_field(sql_type(inner)?, true))),
        Struct(fields, _) => DataType::Struct(
            fields.iter().enumerate().map(|(i, f)| member(i, f)).collect::<Result<Vec<_>, _>>()?.into(),
        ),
        Custom(name, _) => match name.to_string().to_lowercase().as_str() {
            "int1" => DataType::Int8,
            "timestamptz" => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            "name" | "citext" | "bpchar" => DataType::Utf8,
            _ => return Err(unknown(sql)),
        },
        _ => return Err(unknown(sql)),
    })
}

fn unknown(sql: &SqlType) -> DeclareError {
    DeclareError::Unsupported(format!(
        "the type {sql} is not known: write one of TEXT, SMALLINT, INT, BIGINT, DECIMAL(p,s), REAL, DOUBLE PRECISION, BOOLEAN, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL, BYTEA, UUID, JSON, or an array of one"
    ))
}

fn unit(precision: Option<u64>) -> TimeUnit {
    match precision {
        Some(0) => TimeUnit::Second,
        Some(1..=3) => TimeUnit::Millisecond,
        Some(4..=6) => TimeUnit::Microsecond,
        Some(_) | None => TimeUnit::Nanosecond,
    }
}

fn member(i: usize, field: &StructField) -> Result<Field, DeclareError> {
    let name = field.field_name.as_ref().map_or_else(
        || format!("f{}", i + 1),
        |name| match name.quote_style {
            Some(_) => name.value.clone(),
            None => name.value.to_lowercase(),
        },
    );
    Ok(Field::new(name, sql_type(&field.field_type)?, true))
}

fn decimal(size: &ExactNumberInfo, sql: &SqlType) -> Result<DataType, DeclareError> {
    let wide = || {
        DeclareError::Unsupported(format!(
            "the type {sql} has too many digits: at most 76 are kept, as in DECIMAL(38,10)"
        ))
    };
    let (precision, scale) = match size {
        ExactNumberInfo::None => NUMERIC,
        ExactNumberInfo::Precision(precision) => (u8::try_from(*precision).map_err(|_| wide())?, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => {
            (u8::try_from(*precision).map_err(|_| wide())?, i8::try_from(*scale).map_err(|_| wide())?)
        }
    };
    let fits = (1..=76).contains(&precision) && scale >= 0 && scale.unsigned_abs() <= precision;
    match precision {
        _ if !fits => Err(wide()),
        0..=38 => Ok(DataType::Decimal128(precision, scale)),
        _ => Ok(DataType::Decimal256(precision, scale)),
    }
}

/// The types of casts, for DataFusion's planner.
#[derive(Debug)]
pub(super) struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql: &SqlType) -> Result<Option<FieldRef>> {
        // What is not known here is DataFusion's to refuse, and so are the types it has more of.
        let any = matches!(sql, SqlType::Numeric(size) | SqlType::Decimal(size) | SqlType::Dec(size) if *size == ExactNumberInfo::None);
        let field = |data_type| match any {
            true => Field::new("", data_type, true).with_metadata([(ANY_SCALE.into(), String::new())].into()),
            false => Field::new("", data_type, true),
        };
        Ok(sql_type(sql).ok().map(|data_type| Arc::new(field(data_type))))
    }
}
