//! What INSERT, UPDATE and DELETE take and give, before they are run.
use super::script::{deleted_from, inserted_as, others, own_query, quoted, target, using};
use super::{Description, Inner};
use crate::DeclareError;
use crate::lower::told::PG_TYPE;
use dataflows::Table;
use datafusion::sql::sqlparser::ast::{AssignmentTarget, Delete, Expr, Insert, SelectItem, SetExpr, Update};

impl Inner {
    pub(super) fn describe_insert(&self, insert: &Insert) -> Result<Description, DeclareError> {
        let mapping = self.insert_target(insert)?;
        let columns = self.insert_columns(insert, &mapping.table)?;
        let (mut parameters, mut told) = (vec![], vec![]);
        let known = self.host.catalogue().relations().get(&*mapping.table.name).cloned();
        if let Some(source) = &insert.source {
            if let SetExpr::Values(values) = source.body.as_ref() {
                // $n that stands alone has the type of its column.
                for row in &values.rows {
                    for (expr, column) in row.iter().zip(&columns) {
                        if let Some(n) = placeholder(expr) {
                            parameters.resize(parameters.len().max(n), None);
                            let field = mapping.table.schema.field(*column).clone();
                            let field =
                                known.as_ref().map_or(field.clone(), |of| of.told.said(*column, field));
                            told.resize(parameters.len(), None);
                            told[n - 1] = field.metadata().get(PG_TYPE).cloned();
                            parameters[n - 1] = Some(field.data_type().clone());
                        }
                    }
                }
            } else {
                Description { parameters, told, .. } = self.describe(source.as_ref().clone())?;
            }
        }
        let called = inserted_as(insert, &mapping.table);
        self.described((&mapping.table, &called), insert.returning.as_deref(), (parameters, told))
    }

    pub(super) fn describe_update(&self, update: &Update) -> Result<Description, DeclareError> {
        let (name, called) = target(&update.table.relation)?;
        let mapping = self.table(&name)?;
        let fields = mapping.table.schema.fields();
        let list = update.assignments.iter().map(|a| match &a.target {
            AssignmentTarget::ColumnName(name) => format!("{called}.{name} = {}", a.value),
            AssignmentTarget::Tuple(_) => "true".into(),
        });
        let list =
            list.chain([format!("{called}.{}", quoted(fields[0].name()))]).collect::<Vec<_>>().join(", ");
        let filter = update.selection.as_ref().map_or_else(String::new, |filter| format!(" WHERE {filter}"));
        let others = others(update)?.map_or_else(String::new, |others| format!(", {others}"));
        let query = own_query(&format!("SELECT {list} FROM {}{others}{filter}", update.table.relation))?;
        let Description { parameters, told, .. } = self.describe(*query)?;
        self.described((&mapping.table, &called), update.returning.as_deref(), (parameters, told))
    }

    pub(super) fn describe_delete(&self, delete: &Delete) -> Result<Description, DeclareError> {
        let relation = deleted_from(delete)?;
        let (name, called) = target(relation)?;
        let mapping = self.table(&name)?;
        let filter = delete.selection.as_ref().map_or_else(String::new, |filter| format!(" WHERE {filter}"));
        let others = using(delete).map_or_else(String::new, |others| format!(", {others}"));
        let query = own_query(&format!("SELECT {called}.* FROM {relation}{others}{filter}"))?;
        let Description { parameters, told, .. } = self.describe(*query)?;
        self.described((&mapping.table, &called), delete.returning.as_deref(), (parameters, told))
    }

    fn described(
        &self,
        (table, called): (&Table, &str),
        returning: Option<&[SelectItem]>,
        (parameters, told): (Vec<Option<arrow::datatypes::DataType>>, Vec<Option<String>>),
    ) -> Result<Description, DeclareError> {
        let Some(items) = returning else { return Ok(Description { columns: None, parameters, told }) };
        let items: Vec<String> = items.iter().map(SelectItem::to_string).collect();
        let query =
            own_query(&format!("SELECT {} FROM {} AS {called}", items.join(", "), quoted(&table.name)))?;
        Ok(Description { parameters, told, ..self.describe(*query)? })
    }
}

fn placeholder(expr: &Expr) -> Option<usize> {
    let Expr::Value(value) = expr else { return None };
    let text = value.value.to_string();
    text.strip_prefix('$')?.parse().ok().filter(|n| (1..=65_535).contains(n))
}
