//! `Table`: what a view is in PostgreSQL: its columns, its key, and the statements that change its rows.
use super::cells::Form;
use super::session::{literal, quoted};
use crate::delivery::COUNT;
use arrow::datatypes::DataType;
use dataflows::View;
use std::fmt::Write;

/// The column that identifies a row where columns of the view cannot: a hash of its key.
pub(super) const KEY: &str = "tf_key";
/// PostgreSQL cuts longer names, and two could become one.
const NAME_BYTES_MAX: usize = 63;

/// A column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) form: Form,
}

/// A view's table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The table, quoted, with its schema.
    pub(super) place: String,
    /// The view's columns, then [`COUNT`] and [`KEY`] where they are.
    pub(super) columns: Vec<Column>,
    /// The columns that identify a row.
    pub(super) key: Vec<usize>,
    /// Whether some column of the key may be NULL.
    nullable_key: bool,
    /// Whether the last column is [`KEY`].
    pub(super) hidden_key: bool,
    /// Whether rows are counted, since one may be there several times.
    pub(super) counted: bool,
}

impl Table {
    /// The table of a view; an error names what PostgreSQL cannot hold.
    pub(super) fn new(schema: &str, view: &View) -> Result<Table, String> {
        check_name("view", &view.name)?;
        if view.name.starts_with("tf_") {
            return Err(format!("view {:?}: names that begin with tf_ are tallyflow's own", view.name));
        }
        let mut columns = vec![];
        for field in view.schema.fields() {
            check_name("column", field.name()).map_err(|why| format!("view {:?}: {why}", view.name))?;
            if [COUNT, KEY].contains(&field.name().as_str()) {
                return Err(format!("view {:?}: a column cannot be called {}", view.name, field.name()));
            }
            let form = Form::of(field.data_type());
            columns.push(Column { name: field.name().clone(), form });
        }
        let counted = view.key.iter().copied().eq(0..columns.len());
        let comparable = view.key.iter().all(|i| columns[*i].form != Form::Json);
        let hidden_key = counted || view.key.is_empty() || !comparable;
        let nullable_key = !hidden_key && view.key.iter().any(|i| view.schema.field(*i).is_nullable());
        if counted {
            columns.push(Column { name: COUNT.into(), form: Form::of(&DataType::Int64) });
        }
        let mut key = view.key.clone();
        if hidden_key {
            key = vec![columns.len()];
            columns.push(Column { name: KEY.into(), form: Form::Uuid });
        }
        let place = place(schema, &view.name);
        Ok(Table { place, columns, key, nullable_key, hidden_key, counted })
    }

    /// Makes it under a name, empty and without its key.
    pub(super) fn create(&self, place: &str, sink: &str) -> String {
        let mut columns = String::new();
        for (i, column) in self.columns.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            let required = if self.key.contains(&i) && !self.nullable_key { " NOT NULL" } else { "" };
            _ = write!(columns, "{comma}{} {}{required}", quoted(&column.name), column.form.sql());
        }
        format!("CREATE TABLE {place} ({columns}); COMMENT ON TABLE {place} IS {}", literal(&mark(sink)))
    }

    /// Gives the table of a name its key.
    pub(super) fn identify(&self, place: &str) -> String {
        let key = self.named(&self.key);
        if self.nullable_key {
            format!("CREATE UNIQUE INDEX ON {place} ({key}) NULLS NOT DISTINCT")
        } else {
            format!("ALTER TABLE {place} ADD PRIMARY KEY ({key})")
        }
    }

    /// Puts rows in that are not there yet.
    pub(super) fn insert(&self, place: &str) -> String {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let names = self.names();
        format!("INSERT INTO {place} ({names}) SELECT {} FROM {}", self.values(&all), self.arrays(&all))
    }

    /// Puts rows in the place of those with the same key.
    pub(super) fn upsert(&self) -> String {
        let rest: Vec<usize> = (0..self.columns.len()).filter(|i| !self.key.contains(i)).collect();
        let set = rest.iter().map(|i| {
            let name = quoted(&self.columns[*i].name);
            format!("{name} = EXCLUDED.{name}")
        });
        let set = set.collect::<Vec<_>>().join(", ");
        let what = if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {set}") };
        format!("{} ON CONFLICT ({}) DO {what}", self.insert(&self.place), self.named(&self.key))
    }

    /// Takes the rows of keys away, in which the said columns of the key are NULL. The parameters are the others.
    pub(super) fn delete(&self, nulls: &[bool]) -> String {
        let (given, null): (Vec<usize>, Vec<usize>) = (0..self.key.len()).partition(|i| !nulls[*i]);
        let columns: Vec<usize> = given.iter().map(|i| self.key[*i]).collect();
        let equal = columns.iter().enumerate().map(|(place, i)| {
            let Column { name, form } = &self.columns[*i];
            format!("t.{} = {}", quoted(name), form.cast(&format!("u.c{place}")))
        });
        let null = null.iter().map(|i| format!("t.{} IS NULL", quoted(&self.columns[self.key[*i]].name)));
        let condition = equal.chain(null).collect::<Vec<_>>().join(" AND ");
        if columns.is_empty() {
            return format!("DELETE FROM {} t WHERE {condition}", self.place);
        }
        format!("DELETE FROM {} t USING {} WHERE {condition}", self.place, self.arrays(&columns))
    }

    /// All columns, as a list.
    pub(super) fn names(&self) -> String {
        self.named(&(0..self.columns.len()).collect::<Vec<_>>())
    }

    fn named(&self, columns: &[usize]) -> String {
        columns.iter().map(|i| quoted(&self.columns[*i].name)).collect::<Vec<_>>().join(", ")
    }

    fn values(&self, columns: &[usize]) -> String {
        let value = |(place, i): (usize, &usize)| self.columns[*i].form.cast(&format!("u.c{place}"));
        columns.iter().enumerate().map(value).collect::<Vec<_>>().join(", ")
    }

    /// Parameters side by side as rows.
    fn arrays(&self, columns: &[usize]) -> String {
        let parameter =
            |(place, i): (usize, &usize)| format!("${}::{}[]", place + 1, self.columns[*i].form.sent_as().0);
        let parameters = columns.iter().enumerate().map(parameter).collect::<Vec<_>>().join(", ");
        let names = (0..columns.len()).map(|place| format!("c{place}")).collect::<Vec<_>>().join(", ");
        format!("unnest({parameters}) AS u({names})")
    }
}

/// A table's name with its schema.
pub(super) fn place(schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
}

/// What our tables are marked with.
pub(super) fn mark(sink: &str) -> String {
    format!("tallyflow: kept by sink {sink}")
}

/// Refuses what PostgreSQL would cut, or cannot name.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), String> {
    match name {
        "" => Err(format!("a {what} without a name cannot be kept: give it one with AS")),
        name if name.len() > NAME_BYTES_MAX => Err(format!(
            "the {what} name {name:?} has {} bytes, more than the {NAME_BYTES_MAX} of PostgreSQL: give it a shorter one with AS",
            name.len()
        )),
        name if name.contains('\0') => Err(format!("the {what} name {name:?} has a zero byte")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Field, Schema};
    use std::sync::Arc;

    fn table(key: Vec<usize>, nullable: bool) -> Table {
        let fields = vec![
            Field::new("a", DataType::Int64, nullable),
            Field::new("b\"c", DataType::Decimal128(12, 2), nullable),
        ];
        let schema = Arc::new(Schema::new(fields));
        Table::new("s", &View { name: "v".into(), schema, key, sql: "x".into() }).unwrap()
    }

    #[test]
    fn statements_name_what_they_change() {
        let keyed = table(vec![0], false);
        assert_eq!(keyed.identify("x"), "ALTER TABLE x ADD PRIMARY KEY (\"a\")");
        assert_eq!(
            keyed.upsert(),
            "INSERT INTO \"s\".\"v\" (\"a\", \"b\"\"c\") SELECT u.c0, u.c1::numeric(12,2) \
             FROM unnest($1::int8[], $2::text[]) AS u(c0, c1) ON CONFLICT (\"a\") DO UPDATE SET \"b\"\"c\" = EXCLUDED.\"b\"\"c\""
        );
        let nullable = table(vec![0], true);
        assert_eq!(nullable.identify("x"), "CREATE UNIQUE INDEX ON x (\"a\") NULLS NOT DISTINCT");
        assert_eq!(nullable.delete(&[true]), "DELETE FROM \"s\".\"v\" t WHERE t.\"a\" IS NULL");
        assert_eq!(
            nullable.delete(&[false]),
            "DELETE FROM \"s\".\"v\" t USING unnest($1::int8[]) AS u(c0) WHERE t.\"a\" = u.c0"
        );
        let keyless = table(vec![0, 1], true);
        assert!(keyless.counted && keyless.hidden_key);
        assert_eq!(keyless.identify("x"), "ALTER TABLE x ADD PRIMARY KEY (\"tf_key\")");
        assert!(!table(vec![], true).counted);
    }

    #[test]
    fn names_that_postgresql_would_cut_are_refused() {
        assert!(check_name("view", &"x".repeat(63)).is_ok());
        assert!(check_name("view", &"x".repeat(64)).unwrap_err().contains("shorter"));
        assert!(check_name("column", "").is_err());
    }
}
