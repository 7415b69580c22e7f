//! Views as stores outside have them, for those who read them without an engine.
pub mod postgres;

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};
use dataflows::View;
use dataflows::value::{Value, type_name};
use serde_json::json;
use std::sync::Arc;

/// A view in a store.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its name.
    pub name: Arc<str>,
    /// Names and types of its columns.
    pub schema: SchemaRef,
    /// The columns that identify a row; all where none do.
    pub key: Vec<usize>,
    /// Tells one definition of a view from another; see [`definition`](crate::delivery::definition).
    pub definition: u64,
}

impl Stored {
    /// Whether no row can be there twice.
    pub fn has_key(&self) -> bool {
        !self.key.iter().copied().eq(0..self.schema.fields().len())
    }

    /// The columns and the key of a view as text, for [`Stored::parse`].
    pub fn describe(view: &View) -> String {
        let columns = view.schema.fields().iter().map(|field| {
            let kind = match field.data_type() {
                // PostgreSQL has no name of its own for it.
                DataType::UInt64 => "uint64".into(),
                other => type_name(other),
            };
            json!([field.name(), kind, field.is_nullable()])
        });
        json!({"columns": columns.collect::<Vec<_>>(), "key": view.key}).to_string()
    }

    /// A view that was described; none if the text is not such a description.
    pub fn parse(name: &str, definition: u64, text: &str) -> Option<Stored> {
        let text: serde_json::Value = serde_json::from_str(text).ok()?;
        let field = |column: &serde_json::Value| {
            Some(Field::new(column[0].as_str()?, kind(column[1].as_str()?), column[2].as_bool()?))
        };
        let fields = text["columns"].as_array()?.iter().map(field).collect::<Option<Vec<_>>>()?;
        let key = text["key"].as_array()?.iter().map(|i| usize::try_from(i.as_u64()?).ok());
        let key = key.collect::<Option<Vec<_>>>()?;
        let known = key.iter().all(|i| *i < fields.len());
        let schema = Arc::new(Schema::new(fields));
        known.then(|| Stored { name: name.into(), schema, key, definition })
    }
}

/// The type of a name that [`type_name`] or PostgreSQL writes. What is made of values otherwise than as a list counts as a struct.
pub(crate) fn kind(name: &str) -> DataType {
    if let Some(item) = name.strip_suffix("[]") {
        return DataType::List(Arc::new(Field::new("item", kind(item), true)));
    }
    let numeric = || {
        let (precision, scale) = name.strip_prefix("numeric(")?.strip_suffix(')')?.split_once(',')?;
        let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
        Some(if precision > 38 {
            DataType::Decimal256(precision, scale)
        } else {
            DataType::Decimal128(precision, scale)
        })
    };
    match name {
        "boolean" => DataType::Boolean,
        "smallint" => DataType::Int16,
        "integer" => DataType::Int32,
        "bigint" => DataType::Int64,
        "uint64" => DataType::UInt64,
        "real" => DataType::Float32,
        "double precision" => DataType::Float64,
        "text" | "unknown" => DataType::Utf8,
        "bytea" => DataType::Binary,
        "date" => DataType::Date32,
        "time" | "time without time zone" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" | "timestamp without time zone" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamptz" | "timestamp with time zone" => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => numeric().unwrap_or_else(|| DataType::Struct(Default::default())),
    }
}

/// Writes a cell that PostgreSQL wrote as text (lists as JSON lists of texts) as the JSON that readers of the view see.
pub(crate) fn write_cell(kind: &DataType, cell: &str, out: &mut String) {
    let number =
        |out: &mut String, value: Option<Value<'_>>| value.unwrap_or(Value::Text(cell)).write_json(out);
    match kind {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => {
            let list: Vec<Option<String>> = serde_json::from_str(cell).unwrap_or_default();
            out.push('[');
            for (i, element) in list.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                match element {
                    None => out.push_str("null"),
                    Some(text) => write_cell(item.data_type(), text, out),
                }
            }
            out.push(']');
        }
        // It is JSON already.
        DataType::Struct(_) => out.push_str(cell),
        DataType::Boolean => Value::Bool(matches!(cell, "t" | "true")).write_json(out),
        kind if kind.is_integer() => number(out, cell.parse().ok().map(Value::Int)),
        kind if kind.is_floating() => number(out, cell.parse().ok().map(Value::Float)),
        DataType::Timestamp(_, zone) => {
            let text = cell.replacen(' ', "T", 1);
            let text = if zone.is_some() { text.replacen("+00", "Z", 1) } else { text };
            Value::Text(&text).write_json(out);
        }
        _ => Value::Text(cell).write_json(out),
    }
}
