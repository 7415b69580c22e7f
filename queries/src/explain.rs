//! What becomes of a query, stage by stage, as text. The engine's own stage is appended by those who run it.
use crate::{Catalogue, Compiled, DeclareError, Declared};

/// The stages of a declared view, or of a query that is not declared.
pub fn explain(catalogue: &Catalogue, view_or_sql: &str) -> Result<String, DeclareError> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    match catalogue.entry(view_or_sql.trim()) {
        Some(entry) => match &entry.declared {
            Declared::MaterializedView(compiled) => Ok(stages(compiled)),
            Declared::View { .. } => Ok(stages(&catalogue.compile(&entry.sql)?)),
            Declared::Table(mapping) => Ok(format!(
                "SQL\n{}\n\nTable\n{} in mode {:?}\n",
                entry.sql, mapping.table.name, mapping.table.mode
            )),
        },
        None if view_or_sql.trim().chars().all(is_name) => Err(DeclareError::NotFound(format!(
            "cannot explain {view_or_sql:?}: there is no table or view of that name"
        ))),
        None => Ok(stages(&catalogue.compile(view_or_sql)?)),
    }
}

/// The stages of a compiled query.
pub fn stages(compiled: &Compiled) -> String {
    let view = &compiled.view;
    let key: Vec<&str> = view.key.iter().map(|i| view.schema.field(*i).name().as_str()).collect();
    format!(
        "SQL\n{}\n\nLogical plan\n{}\n\nPlan\n{}\nKey\n{}\n",
        view.sql,
        compiled.optimised.display_indent(),
        compiled.plan,
        key.join(", ")
    )
}
