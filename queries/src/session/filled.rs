//! CREATE TABLE AS: a table that begins with the rows of a query.
use super::read::Given;
use super::rows::{self, duplicate};
use super::script::{plain_name, quoted};
use super::words::sql_type;
use super::write::Change;
use super::{Answer, Inner, internal};
use crate::DeclareError;
use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{CreateTable, Query, TableConstraint};
use std::sync::Arc;

impl Inner {
    pub(super) fn create_table_as(
        &self,
        create: &CreateTable,
        query: Query,
        parameters: &[ScalarValue],
    ) -> Result<Answer, DeclareError> {
        let name = plain_name(&create.name)?;
        if create.or_replace && self.host.catalogue().get(&name).is_some() {
            return Err(DeclareError::Unsupported(format!(
                "{name:?} is there, and OR REPLACE with AS is not supported: write DROP TABLE IF EXISTS before it"
            )));
        }
        let done = |rows: usize| Ok(Answer::Done { tag: format!("SELECT {rows}") });
        if create.if_not_exists && self.host.catalogue().get(&name).is_some() {
            return done(0);
        }
        let named: Vec<String> = create.columns.iter().map(|column| column.name.to_string()).collect();
        let found = self.find(query, Given { parameters, ..Given::default() })?;
        let columns = found.schema.fields().iter().enumerate().map(|(i, field)| {
            let name = named.get(i).cloned().unwrap_or_else(|| quoted(field.name()));
            let typed = create.columns.get(i).map(|column| column.data_type.to_string());
            let typed = match typed.filter(|text| !text.is_empty()) {
                Some(text) => text,
                None => sql_type(field.data_type())?,
            };
            let options = create.columns.get(i).map(|column| column.options.as_slice()).unwrap_or_default();
            let options: String = options.iter().map(|option| format!(" {option}")).collect();
            Ok(format!("{name} {typed}{options}"))
        });
        let mut columns = columns.collect::<Result<Vec<_>, DeclareError>>()?;
        columns.extend(create.constraints.iter().map(TableConstraint::to_string));
        self.host.declare(&format!("CREATE TABLE {} ({})", quoted(&name), columns.join(", ")))?;
        let mapping = self.table(&name)?;
        let table = &mapping.table;
        let cast = found.rows.iter().map(|batch| {
            let columns = batch.columns().iter().zip(table.schema.fields());
            let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>, _>>().map_err(internal)?;
            let fields = table.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
            let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
            RecordBatch::try_new(schema, columns).map_err(internal)
        });
        let filled = cast.collect::<Result<Vec<_>, _>>().and_then(|rows| {
            let given = self.formed(table, &rows)?;
            duplicate(table, &given, &rows::repeated(table, &given)?)?;
            let change = Change { taken: given.slice(0, 0), given };
            self.write(&mut self.writer(), &[(&mapping, &change)])?;
            Ok(change)
        });
        let change = match filled {
            Ok(change) => change,
            Err(why) => {
                self.host.drop_query(&name)?;
                return Err(why);
            }
        };
        done(change.given.num_rows())
    }
}
