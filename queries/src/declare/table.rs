//! `CREATE EXTERNAL TABLE .. STORED AS CLOUDEVENTS` to what the decoder needs.
use super::{column_of, list_of_names, normalized, single_name};
use crate::DeclareError;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use dataflows::{Mode, Table};
use datafusion::sql::parser::CreateExternalTable;
use datafusion::sql::sqlparser::ast::{
    ColumnDef, ColumnOption, DataType as SqlType, ExactNumberInfo, TimezoneInfo, Value,
};
use sources::decode::{Mapping, Path, Pattern};
use std::collections::BTreeMap;
use std::sync::Arc;

const OPTIONS: &str = "column.NAME, each, mode, key, version, delete, history";

/// The mapping that a statement declares.
pub(super) fn mapping(create: CreateExternalTable) -> Result<Mapping, DeclareError> {
    let name = single_name(&create.name)?;
    refuse_clauses(&name, &create)?;
    let fields = create.columns.iter().map(|column| field(&name, column)).collect::<Result<Vec<_>, _>>()?;
    let mut options = options(&name, &create)?;
    let schema = Arc::new(Schema::new(fields));
    let mut table = Table { name: name.as_str().into(), schema, mode: Mode::Append };
    let columns = paths(&table, &create.columns, &mut options)?;
    let pattern = |text: &str| {
        Pattern::parse(text).map_err(|why| {
            DeclareError::Invalid(format!(
                "table {name:?} has the event type pattern {text:?}, which is none: {why}"
            ))
        })
    };
    let types = pattern(&create.locations.join(","))?;
    let each = options.remove("each").map(|text| path(&name, "each", &text)).transpose()?;
    let deletes = options.remove("delete").map(|text| pattern(&text)).transpose()?;
    table.mode = mode(&table, &mut options)?;
    let from_what_is_kept = match options.remove("history").as_deref() {
        None | Some("all") => false,
        Some("kept") => true,
        Some(other) => {
            return Err(DeclareError::Invalid(format!(
                "table {name:?} has the history {other:?}: write 'all', or 'kept' for what is left of the log"
            )));
        }
    };
    if deletes.is_some() && table.mode == Mode::Append {
        return Err(DeclareError::Invalid(format!(
            "table {name:?} has the option delete, which needs 'mode' 'latest' and a 'key'"
        )));
    }
    if let Some(unknown) = options.keys().next() {
        return Err(DeclareError::Invalid(format!(
            "table {name:?} has the unknown option {unknown:?}: known are {OPTIONS}"
        )));
    }
    let mapping = Mapping { table: Arc::new(table), types, deletes, each, columns, from_what_is_kept };
    mapping.check().map_err(DeclareError::Invalid)?;
    Ok(mapping)
}

fn refuse_clauses(name: &str, create: &CreateExternalTable) -> Result<(), DeclareError> {
    if !create.file_type.eq_ignore_ascii_case("CLOUDEVENTS") {
        return Err(DeclareError::Unsupported(format!(
            "table {name:?} cannot be STORED AS {}: write STORED AS CLOUDEVENTS",
            create.file_type
        )));
    }
    let refused = [
        (!create.table_partition_cols.is_empty(), "PARTITIONED BY", "leave it out"),
        (!create.order_exprs.is_empty(), "WITH ORDER", "leave it out, events come in any order"),
        (create.or_replace, "OR REPLACE", "drop the table first"),
        (create.if_not_exists, "IF NOT EXISTS", "look the table up first"),
        (create.temporary, "TEMPORARY", "leave it out"),
        (create.unbounded, "UNBOUNDED", "leave it out, every table is"),
        (
            !create.constraints.is_empty(),
            "a table constraint",
            "write OPTIONS ('mode' 'latest', 'key' 'a,b')",
        ),
    ];
    for (present, clause, instead) in refused {
        if present {
            return Err(DeclareError::Unsupported(format!(
                "{clause} in the declaration of table {name:?} is not supported: {instead}"
            )));
        }
    }
    if create.columns.is_empty() {
        return Err(DeclareError::Invalid(format!(
            "table {name:?} has no columns: write (name type, ..) after its name"
        )));
    }
    Ok(())
}

fn field(table: &str, column: &ColumnDef) -> Result<Field, DeclareError> {
    let name = normalized(&column.name);
    let mut nullable = true;
    for option in &column.options {
        match option.option {
            ColumnOption::Null => nullable = true,
            ColumnOption::NotNull => nullable = false,
            _ => {
                return Err(DeclareError::Unsupported(format!(
                    "{} of column {table}.{name} is not supported: only NOT NULL is, and a key stands in OPTIONS ('mode' 'latest', 'key' '{name}')",
                    option.option
                )));
            }
        }
    }
    Ok(Field::new(&name, data_type(table, &name, &column.data_type)?, nullable))
}

fn data_type(table: &str, column: &str, sql: &SqlType) -> Result<DataType, DeclareError> {
    let zoned = |zone: &TimezoneInfo| match zone {
        TimezoneInfo::Tz | TimezoneInfo::WithTimeZone => Some("UTC".into()),
        TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => None,
    };
    let instead = match sql {
        SqlType::Text | SqlType::Varchar(None) | SqlType::CharacterVarying(None) | SqlType::String(None) => {
            return Ok(DataType::Utf8);
        }
        SqlType::SmallInt(None) | SqlType::Int2(None) => return Ok(DataType::Int16),
        SqlType::Int(None) | SqlType::Integer(None) | SqlType::Int4(None) => return Ok(DataType::Int32),
        SqlType::BigInt(None) | SqlType::Int8(None) => return Ok(DataType::Int64),
        SqlType::Boolean | SqlType::Bool => return Ok(DataType::Boolean),
        SqlType::Real | SqlType::Float4 => return Ok(DataType::Float32),
        SqlType::Double(ExactNumberInfo::None) | SqlType::DoublePrecision | SqlType::Float8 => {
            return Ok(DataType::Float64);
        }
        SqlType::Date => return Ok(DataType::Date32),
        SqlType::Timestamp(_, zone) => return Ok(DataType::Timestamp(TimeUnit::Nanosecond, zoned(zone))),
        SqlType::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            return Ok(DataType::Time64(TimeUnit::Nanosecond));
        }
        SqlType::Bytea => return Ok(DataType::Binary),
        SqlType::Numeric(size) | SqlType::Decimal(size) | SqlType::Dec(size) => match decimal(size) {
            Some(data_type) => return Ok(data_type),
            None => "state precision and scale, as in DECIMAL(18,2), with at most 38 digits",
        },
        SqlType::Varchar(_) | SqlType::CharacterVarying(_) | SqlType::Char(_) => "write TEXT",
        SqlType::JSON | SqlType::JSONB => "write TEXT, or a column for each path that queries need",
        _ => {
            "write one of TEXT, SMALLINT, INT, BIGINT, DECIMAL(p,s), REAL, DOUBLE PRECISION, BOOLEAN, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, BYTEA"
        }
    };
    Err(DeclareError::Unsupported(format!("column {table}.{column} cannot be {sql}: {instead}")))
}

fn decimal(size: &ExactNumberInfo) -> Option<DataType> {
    let (precision, scale) = match size {
        ExactNumberInfo::None => return None,
        ExactNumberInfo::Precision(precision) => (u8::try_from(*precision).ok()?, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => {
            (u8::try_from(*precision).ok()?, i8::try_from(*scale).ok()?)
        }
    };
    let fits = (1..=38).contains(&precision) && scale >= 0 && scale as u8 <= precision;
    fits.then_some(DataType::Decimal128(precision, scale))
}

fn options(table: &str, create: &CreateExternalTable) -> Result<BTreeMap<String, String>, DeclareError> {
    let mut found = BTreeMap::new();
    for (key, value) in &create.options {
        let text = match value {
            Value::SingleQuotedString(text) => text.clone(),
            other => {
                return Err(DeclareError::Invalid(format!(
                    "option {key:?} of table {table:?} must be a string in quotes, not {other}"
                )));
            }
        };
        if found.insert(key.clone(), text).is_some() {
            return Err(DeclareError::Invalid(format!("option {key:?} of table {table:?} stands twice")));
        }
    }
    Ok(found)
}

fn paths(
    table: &Table,
    columns: &[ColumnDef],
    options: &mut BTreeMap<String, String>,
) -> Result<Vec<Path>, DeclareError> {
    let mut declared: BTreeMap<usize, String> = BTreeMap::new();
    for key in options.keys().filter(|key| key.starts_with("column.")).cloned().collect::<Vec<_>>() {
        let text = options.remove(&key).expect("the key was just listed");
        let name = &key["column.".len()..];
        let spelled = columns.iter().position(|column| column.name.value == name);
        let index = spelled.map_or_else(|| column_of(table, name), Ok)?;
        declared.insert(index, text);
    }
    let default = |i: usize| format!("data.{}", columns[i].name.value);
    (0..columns.len())
        .map(|i| {
            let text = declared.remove(&i).unwrap_or_else(|| default(i));
            path(&table.name, table.schema.field(i).name(), &text)
        })
        .collect()
}

fn path(table: &str, what: &str, text: &str) -> Result<Path, DeclareError> {
    Path::parse(text).map_err(|why| {
        DeclareError::Invalid(format!(
            "table {table:?} has for {what} the path {text:?}, which is none: {why}"
        ))
    })
}

fn mode(table: &Table, options: &mut BTreeMap<String, String>) -> Result<Mode, DeclareError> {
    let columns = |text: String| {
        list_of_names(&text).iter().map(|name| column_of(table, name)).collect::<Result<Vec<_>, _>>()
    };
    let mode = options.remove("mode").unwrap_or_else(|| "append".into());
    let key = options.remove("key").map(columns).transpose()?;
    let version = options.remove("version").map(columns).transpose()?;
    match (mode.as_str(), key) {
        ("append", None) if version.is_none() => Ok(Mode::Append),
        ("append", _) => Err(DeclareError::Invalid(format!(
            "table {:?} keeps every event, so key and version mean nothing: add 'mode' 'latest'",
            table.name
        ))),
        ("latest", Some(key)) if !key.is_empty() => {
            Ok(Mode::Latest { key, version: version.unwrap_or_default() })
        }
        ("latest", _) => Err(DeclareError::Invalid(format!(
            "table {:?} in mode latest needs a key, as in 'key' 'a,b'",
            table.name
        ))),
        (other, _) => Err(DeclareError::Invalid(format!(
            "table {:?} has the unknown mode {other:?}: known are append and latest",
            table.name
        ))),
    }
}
