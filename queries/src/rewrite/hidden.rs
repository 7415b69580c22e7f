//! A WITH inside a query under a name that a WITH around it has: it hides that one, and is renamed, since DataFusion wants each name once.
use crate::walk;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query, TableAlias, TableFactor, VisitorMut};
use std::ops::ControlFlow;

/// Renames what hides another. What was renamed hides nothing any more.
pub(super) fn rewrite(query: &mut Query) {
    _ = walk::write(query, &mut Scopes { around: vec![], renamed: 0 });
}

struct Scopes {
    /// The names of each WITH around.
    around: Vec<Vec<String>>,
    renamed: usize,
}

fn normal(word: &Ident) -> String {
    crate::declare::normalized(word)
}

impl VisitorMut for Scopes {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.around.push(tables.map(|table| normal(&table.alias.name)).collect());
        ControlFlow::Continue(())
    }

    // Those inside first, so that each name left is of this query.
    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.around.pop();
        let Some(with) = &mut query.with else { return ControlFlow::Continue(()) };
        for place in 0..with.cte_tables.len() {
            let own = normal(&with.cte_tables[place].alias.name);
            // A mark of our own stands for what the parser does not know.
            if own.starts_with('\0') || !self.around.iter().flatten().any(|name| *name == own) {
                continue;
            }
            self.renamed += 1;
            let mut renamer = Renamer { new: format!("__{own}_{}", self.renamed), own };
            with.cte_tables[place].alias.name = Ident::with_quote('"', &renamer.new);
            // What stands before it, and what it says itself if it is not recursive, means the one around.
            let first = if with.recursive { place } else { place + 1 };
            for table in &mut with.cte_tables[first..] {
                _ = walk::write(&mut table.query, &mut renamer);
            }
            _ = walk::write(&mut query.body, &mut renamer);
            if let Some(order) = &mut query.order_by {
                _ = walk::write(order, &mut renamer);
            }
        }
        ControlFlow::Continue(())
    }
}

struct Renamer {
    own: String,
    new: String,
}

impl VisitorMut for Renamer {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let [part] = name.0.as_slice() else { return ControlFlow::Continue(()) };
        let Some(word) = part.as_ident().filter(|word| normal(word) == self.own).cloned() else {
            return ControlFlow::Continue(());
        };
        *name = ObjectName::from(vec![Ident::with_quote('"', &self.new)]);
        alias.get_or_insert(TableAlias { explicit: true, name: word, columns: vec![], at: None });
        ControlFlow::Continue(())
    }
}
