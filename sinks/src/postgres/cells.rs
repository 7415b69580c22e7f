//! Arrow columns as arrays in PostgreSQL's binary form, and what each type of column is there.
use arrow::array::Array;
use arrow::datatypes::DataType;
use bytes::{BufMut, BytesMut};
use dataflows::value::{Value, cell};
use std::error::Error;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// Microseconds and days from 1970 to 2000, where PostgreSQL counts from.
const EPOCH_US: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;

/// What a column is in PostgreSQL, and how its cells are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Text,
    Bytes,
    Date,
    Timestamp,
    TimestampTz,
    /// A hash of a key.
    Uuid,
    /// Sent as text, and cast there: the type's name.
    Cast(String),
    /// What PostgreSQL has no type for: the JSON that readers of the view see.
    Json,
}

impl Form {
    pub(super) fn of(data_type: &DataType) -> Form {
        use DataType::*;
        match data_type {
            Boolean => Form::Bool,
            Int8 | Int16 | UInt8 => Form::Int2,
            Int32 | UInt16 => Form::Int4,
            Int64 | UInt32 => Form::Int8,
            UInt64 => Form::Cast("numeric(20,0)".into()),
            Float16 | Float32 => Form::Float4,
            Float64 => Form::Float8,
            Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => {
                Form::Cast(format!("numeric({p},{s})"))
            }
            Utf8 | LargeUtf8 | Utf8View | Null => Form::Text,
            Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => Form::Bytes,
            Date32 | Date64 => Form::Date,
            Time32(_) | Time64(_) => Form::Cast("time".into()),
            Timestamp(_, None) => Form::Timestamp,
            Timestamp(_, Some(_)) => Form::TimestampTz,
            Interval(_) | Duration(_) => Form::Cast("interval".into()),
            Dictionary(_, values) if Form::of(values) == Form::Text => Form::Text,
            List(item) | LargeList(item) | ListView(item) | LargeListView(item) | FixedSizeList(item, _) => {
                match Form::of(item.data_type()) {
                    // Lists of unequal length within a list are no array there.
                    Form::Json => Form::Json,
                    Form::Cast(name) if name.ends_with("[]") => Form::Json,
                    item => Form::Cast(format!("{}[]", item.sql())),
                }
            }
            _ => Form::Json,
        }
    }

    /// The type's name.
    pub(super) fn sql(&self) -> &str {
        match self {
            Form::Bool => "boolean",
            Form::Int2 => "smallint",
            Form::Int4 => "integer",
            Form::Int8 => "bigint",
            Form::Float4 => "real",
            Form::Float8 => "double precision",
            Form::Text => "text",
            Form::Bytes => "bytea",
            Form::Date => "date",
            Form::Timestamp => "timestamp",
            Form::TimestampTz => "timestamptz",
            Form::Uuid => "uuid",
            Form::Cast(name) => name,
            Form::Json => "json",
        }
    }

    /// The type that a cell is sent as, its number, and the type of an array of it.
    pub(super) fn sent_as(&self) -> (&'static str, Type, Type) {
        match self {
            Form::Bool => ("bool", Type::BOOL, Type::BOOL_ARRAY),
            Form::Int2 => ("int2", Type::INT2, Type::INT2_ARRAY),
            Form::Int4 => ("int4", Type::INT4, Type::INT4_ARRAY),
            Form::Int8 => ("int8", Type::INT8, Type::INT8_ARRAY),
            Form::Float4 => ("float4", Type::FLOAT4, Type::FLOAT4_ARRAY),
            Form::Float8 => ("float8", Type::FLOAT8, Type::FLOAT8_ARRAY),
            Form::Bytes => ("bytea", Type::BYTEA, Type::BYTEA_ARRAY),
            Form::Date => ("date", Type::DATE, Type::DATE_ARRAY),
            Form::Timestamp => ("timestamp", Type::TIMESTAMP, Type::TIMESTAMP_ARRAY),
            Form::TimestampTz => ("timestamptz", Type::TIMESTAMPTZ, Type::TIMESTAMPTZ_ARRAY),
            Form::Uuid => ("uuid", Type::UUID, Type::UUID_ARRAY),
            Form::Text | Form::Cast(_) | Form::Json => ("text", Type::TEXT, Type::TEXT_ARRAY),
        }
    }

    /// What was sent, as the column's type.
    pub(super) fn cast(&self, sent: &str) -> String {
        match self {
            Form::Cast(_) | Form::Json => format!("{sent}::{}", self.sql()),
            _ => sent.to_owned(),
        }
    }
}

/// An array parameter, in its binary form.
#[derive(Debug)]
pub(super) struct Cells {
    bytes: BytesMut,
    count: i32,
    has_null: bool,
}

/// Where the count and the mark of NULLs stand.
const HEAD_BYTES: usize = 20;

impl Cells {
    pub(super) fn new(form: &Form) -> Cells {
        let mut bytes = BytesMut::with_capacity(1 << 12);
        // One dimension, NULLs, the type of its cells, and how many there are, the first being number 1.
        bytes.put_i32(1);
        bytes.put_i32(0);
        bytes.put_u32(form.sent_as().1.oid());
        bytes.put_i32(0);
        bytes.put_i32(1);
        Cells { bytes, count: 0, has_null: false }
    }

    fn put(&mut self, write: impl FnOnce(&mut BytesMut) -> Result<(), String>) -> Result<(), String> {
        let start = self.bytes.len();
        self.bytes.put_i32(0);
        write(&mut self.bytes)?;
        let length = i32::try_from(self.bytes.len() - start - 4).map_err(|_| "it is too long".to_owned())?;
        self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
        self.count += 1;
        Ok(())
    }

    fn put_null(&mut self) {
        self.bytes.put_i32(-1);
        self.has_null = true;
        self.count += 1;
    }

    pub(super) fn put_uuid(&mut self, value: u128) {
        let written = self.put(|out| {
            out.put_u128(value);
            Ok(())
        });
        written.expect("16 bytes are not too long");
    }

    pub(super) fn put_int8(&mut self, value: i64) {
        let written = self.put(|out| {
            out.put_i64(value);
            Ok(())
        });
        written.expect("8 bytes are not too long");
    }

    /// Adds a cell of a column; an error says what PostgreSQL cannot hold.
    pub(super) fn push(&mut self, form: &Form, column: &dyn Array, row: usize) -> Result<(), String> {
        if column.is_null(row) {
            self.put_null();
            return Ok(());
        }
        let Some(value) = cell::value(column, row) else {
            let mut text = String::new();
            match form {
                Form::Json => cell::write_json(column, row, &mut text),
                _ => cell::write_text(column, row, &mut text),
            }
            check_text(&text)?;
            return self.put(|out| {
                out.put_slice(text.as_bytes());
                Ok(())
            });
        };
        if value == Value::Null {
            self.put_null();
            return Ok(());
        }
        self.put(|out| write(form, &value, out))
    }
}

fn write(form: &Form, value: &Value<'_>, out: &mut BytesMut) -> Result<(), String> {
    let wide = |v: i128| i64::try_from(v).map_err(|_| format!("{v} is too large"));
    match (form, value) {
        (Form::Bool, Value::Bool(v)) => out.put_u8(u8::from(*v)),
        (Form::Int2, Value::Int(v)) => {
            out.put_i16(i16::try_from(*v).map_err(|_| format!("{v} is too large"))?)
        }
        (Form::Int4, Value::Int(v)) => {
            out.put_i32(i32::try_from(*v).map_err(|_| format!("{v} is too large"))?)
        }
        (Form::Int8, Value::Int(v)) => out.put_i64(wide(*v)?),
        (Form::Float4, Value::Float(v)) => out.put_f32(*v as f32),
        (Form::Float8, Value::Float(v)) => out.put_f64(*v),
        (Form::Bytes, Value::Bytes(v)) => out.put_slice(v),
        (Form::Date, Value::Date(days)) => {
            out.put_i32(days.checked_sub(EPOCH_DAYS).ok_or("the date is too early")?);
        }
        (Form::Timestamp | Form::TimestampTz, Value::Timestamp(ns, _)) => {
            whole_us(*ns, value)?;
            let us = wide(ns.div_euclid(1_000))?.checked_sub(EPOCH_US).ok_or("the time is too early")?;
            out.put_i64(us);
        }
        (_, Value::Text(text)) => {
            check_text(text)?;
            out.put_slice(text.as_bytes());
        }
        (_, value) => {
            match value {
                Value::TimeOfDay(ns) | Value::Interval(_, _, ns) => whole_us(i128::from(*ns), value)?,
                _ => {}
            }
            let mut text = String::new();
            value.write_text(&mut text);
            out.put_slice(text.as_bytes());
        }
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), String> {
    if text.contains('\0') {
        return Err(
            "PostgreSQL holds no text with a zero byte: take it out, as with replace(column, chr(0), '')"
                .into(),
        );
    }
    Ok(())
}

fn whole_us(ns: i128, value: &Value<'_>) -> Result<(), String> {
    if ns % 1_000 == 0 {
        return Ok(());
    }
    let mut text = String::new();
    value.write_text(&mut text);
    Err(format!(
        "{text} has nanoseconds, and PostgreSQL holds microseconds: write date_trunc('microseconds', column) in the view"
    ))
}

impl ToSql for Cells {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let start = out.len();
        out.put_slice(&self.bytes);
        let head = &mut out[start..start + HEAD_BYTES];
        head[4..8].copy_from_slice(&i32::from(self.has_null).to_be_bytes());
        head[12..16].copy_from_slice(&self.count.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
