//! What is in PostgreSQL's catalogue whatever is declared: types, functions, operators and so on.
use super::Failure;
use super::node::Column;
use super::value::{Row, Value};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Schema};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::PgCatalogStaticTables;
use datafusion_postgres::pgwire::api::Type;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// A table.
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) columns: Vec<Column>,
    batches: Vec<RecordBatch>,
    rows: OnceLock<Arc<Vec<Row>>>,
}

/// Every one of them by name.
pub(super) type All = HashMap<&'static str, Fixed>;

/// Tables that say nothing true here: their columns are known, their rows are not.
const EMPTY: [&str; 4] = ["pg_extension", "pg_init_privs", "pg_statistic", "pg_auth_members"];

/// Loads them.
pub(super) fn all() -> Result<All, Failure> {
    let loaded = PgCatalogStaticTables::try_new().map_err(|why| Failure::of("XX000", &why.to_string()))?;
    let mut all = All::new();
    macro_rules! take {
        ($($name:ident)*) => {
            $({
                let table = &loaded.$name;
                let name = stringify!($name);
                let batches = if EMPTY.contains(&name) { vec![] } else { table.data().to_vec() };
                all.insert(name, Fixed { columns: columns(&table.schema()), batches, rows: OnceLock::new() });
            })*
        };
    }
    take! {
        pg_aggregate pg_am pg_amop pg_amproc pg_cast pg_collation pg_conversion pg_language pg_opclass pg_operator pg_opfamily
        pg_proc pg_range pg_ts_config pg_ts_dict pg_ts_parser pg_ts_template pg_type pg_attrdef pg_auth_members pg_authid
        pg_constraint pg_db_role_setting pg_default_acl pg_depend pg_description pg_enum pg_event_trigger pg_extension
        pg_foreign_data_wrapper pg_foreign_server pg_foreign_table pg_index pg_inherits pg_init_privs pg_largeobject
        pg_largeobject_metadata pg_partitioned_table pg_policy pg_publication pg_publication_namespace pg_publication_rel
        pg_replication_origin pg_rewrite pg_seclabel pg_sequence pg_shdepend pg_shdescription pg_shseclabel pg_statistic
        pg_statistic_ext pg_statistic_ext_data pg_subscription pg_subscription_rel pg_tablespace pg_trigger pg_user_mapping
        pg_get_keywords
    }
    Ok(all)
}

fn columns(schema: &Schema) -> Vec<Column> {
    let column = |field: &Arc<Field>| Column {
        of: String::new(),
        // The one column that has another name in the version whose manners we have.
        name: field.name().replace("colllocale", "colliculocale"),
        kind: kind(field),
        fields: vec![],
    };
    schema.fields().iter().map(column).collect()
}

fn kind(field: &Field) -> Type {
    match (field.name().as_str(), field.data_type()) {
        ("indkey" | "indoption" | "stxkeys" | "tgattr", _) => Type::INT2_VECTOR,
        ("indclass" | "indcollation" | "proargtypes", _) => Type::OID_VECTOR,
        ("conkey" | "confkey" | "confdelsetcols" | "prattrs", _) => Type::INT2_ARRAY,
        ("proallargtypes" | "conpfeqop" | "conppeqop" | "conffeqop" | "conexclop" | "polroles", _) => {
            Type::OID_ARRAY
        }
        (name, _) if name.ends_with("acl") => Type::TEXT_ARRAY,
        (
            "proargmodes" | "proargnames" | "proconfig" | "reloptions" | "stxkind" | "extcondition"
            | "evttags" | "setconfig",
            _,
        ) => Type::TEXT_ARRAY,
        (
            "attoptions" | "attfdwoptions" | "spcoptions" | "ftoptions" | "srvoptions" | "fdwoptions"
            | "umoptions" | "subpublications",
            _,
        ) => Type::TEXT_ARRAY,
        (_, DataType::Boolean) => Type::BOOL,
        (_, DataType::Int16) => Type::INT2,
        (_, DataType::Int32) if field.metadata().contains_key("pg.oid_alias") => Type::OID,
        (_, DataType::Int32) => Type::INT4,
        (_, DataType::Int64) => Type::INT8,
        (_, DataType::Float32) => Type::FLOAT4,
        (_, DataType::Float64) => Type::FLOAT8,
        _ => Type::TEXT,
    }
}

impl Fixed {
    /// Its rows.
    pub(super) fn rows(&self) -> Arc<Vec<Row>> {
        self.rows.get_or_init(|| Arc::new(self.read())).clone()
    }

    fn read(&self) -> Vec<Row> {
        let mut rows = vec![];
        // The types of the rows of PostgreSQL's own tables, and lists of such.
        let place = |name: &str| self.columns.iter().position(|column| column.name == name);
        let of_rows = |row: &Row| {
            let (Some(kind), Some(name)) = (place("typtype"), place("typname")) else { return false };
            let is_list_of_rows = place("typarray").zip(place("oid")).is_some_and(|(array, oid)| {
                row[name].text().starts_with('_')
                    && row[array] == Value::Int(0)
                    && row[oid].number().is_some_and(|oid| oid > 10_000)
            });
            row[kind] == Value::from("c") || is_list_of_rows
        };
        for batch in &self.batches {
            for i in 0..batch.num_rows() {
                let value = |(array, column): (&Arc<dyn Array>, &Column)| value(array.as_ref(), i, column);
                rows.push(batch.columns().iter().zip(&self.columns).map(value).collect());
                if rows.last().is_some_and(of_rows) {
                    rows.pop();
                }
            }
        }
        rows
    }
}

fn value(array: &dyn Array, row: usize, column: &Column) -> Value {
    if array.is_null(row) || column.name.ends_with("acl") {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int16 => Value::Int(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Value::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Value::Float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => {
            let text = array.as_string::<i32>().value(row);
            match column.kind {
                Type::INT2_VECTOR | Type::OID_VECTOR => {
                    Value::vector(text.split_whitespace().filter_map(|part| part.parse().ok()))
                }
                Type::INT2_ARRAY | Type::OID_ARRAY => {
                    Value::list(parts(text).filter_map(|part| part.parse().ok()).map(Value::Int))
                }
                Type::TEXT_ARRAY => Value::list(parts(text).map(Value::from)),
                _ => Value::from(text),
            }
        }
        _ => Value::Null,
    }
}

/// The members of a list that is written as `['a', 'b']` or `[1, 2]`.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let inner = text.trim_matches(['[', ']', '{', '}']);
    inner.split(',').map(|part| part.trim().trim_matches('\'')).filter(move |_| !inner.is_empty())
}
