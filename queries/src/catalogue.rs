//! `Catalogue`: what is declared, in the order of declaration, with what each name uses.
mod journal;
mod shipped;
pub mod system;

pub use journal::Change;

use crate::declare::{self, Kind, Statement};
use crate::lower::planner::{Relation, Relations};
use crate::lower::told;
use crate::lower::{self, Compiled};
use crate::rewrite::functions::{self, Function, Functions};
use crate::{DeclareError, api::host::QueryKind};
use arrow::datatypes::{Schema, SchemaRef};
use dataflows::Mode;
use datafusion::logical_expr::LogicalPlan;
use sources::decode::Mapping;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Declared {
    /// `CREATE EXTERNAL TABLE`.
    Table(Arc<Mapping>),
    /// `CREATE VIEW`: a name for a query, inlined where used.
    View {
        /// Its name.
        name: Arc<str>,
        /// The query, with names resolved.
        query: Arc<LogicalPlan>,
    },
    /// `CREATE MATERIALIZED VIEW`.
    MaterializedView(Arc<Compiled>),
}

impl Declared {
    /// The name.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Declared::Table(mapping) => &mapping.table.name,
            Declared::View { name, .. } => name,
            Declared::MaterializedView(compiled) => &compiled.view.name,
        }
    }

    /// The name of a table that is to hold all that was ever appended, however late it is declared.
    pub fn needs_history(&self) -> Option<&str> {
        match self {
            Declared::Table(mapping) => {
                let begins_empty = matches!(mapping.table.mode, Mode::Changes { .. });
                (!begins_empty && !mapping.from_what_is_kept).then_some(&*mapping.table.name)
            }
            Declared::View { .. } | Declared::MaterializedView(_) => None,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> QueryKind {
        match self {
            Declared::Table(_) => QueryKind::Table,
            Declared::View { .. } => QueryKind::View,
            Declared::MaterializedView(_) => QueryKind::MaterializedView,
        }
    }
}

/// One declaration.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it declares.
    pub declared: Declared,
    /// The statement.
    pub sql: Arc<str>,
    /// The names that its statement reads.
    pub uses: BTreeSet<String>,
    /// What the columns of text of a table are.
    told: told::Known,
}

/// Declared tables and views. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    entries: Vec<Entry>,
    functions: Functions,
    /// All that was ever done to it.
    journal: Arc<Vec<Change>>,
}

impl Catalogue {
    /// A shipped catalogue by its name, or a folder with `tables/` and `views/` of `.sql` files.
    pub fn load(name_or_folder: &str) -> Result<Catalogue, DeclareError> {
        let mut pending = vec![];
        for (file, text) in shipped::files(name_or_folder)? {
            for statement in declare::parse(&text).map_err(|why| in_file(&file, why))? {
                pending.push((file.clone(), statement));
            }
        }
        let mut catalogue = system::catalogue();
        // Files stand in the order of their names; what one of them reads may stand in a later one.
        while !pending.is_empty() {
            let waiting: BTreeSet<String> =
                pending.iter().map(|(_, statement)| statement.name.to_string()).collect();
            let is_ready = |statement: &Statement| statement.names.iter().all(|name| !waiting.contains(name));
            let Some(next) = pending.iter().position(|(_, statement)| is_ready(statement)) else {
                let names: Vec<String> = waiting.into_iter().collect();
                return Err(DeclareError::Invalid(format!(
                    "cannot load catalogue {name_or_folder:?}: its views read each other in a circle, among {}",
                    names.join(", ")
                )));
            };
            let (file, statement) = pending.remove(next);
            catalogue.note(Change::Declare(statement.sql.clone()));
            let added = match statement.kind {
                Kind::Function(function) => catalogue.add_function(&statement.name, *function),
                Kind::DropFunction(_) => catalogue.drop_function(&statement.name),
                _ => catalogue.add(statement).map(|_| ()),
            };
            added.map_err(|why| in_file(&file, why))?;
        }
        Ok(catalogue)
    }

    /// Declares every statement of a text, or none.
    pub fn declare(&mut self, sql: &str) -> Result<Vec<Declared>, DeclareError> {
        declare::contained(|| self.declared(sql))
    }

    fn declared(&mut self, sql: &str) -> Result<Vec<Declared>, DeclareError> {
        let statements = declare::parse(sql)?;
        if statements.is_empty() {
            return Err(DeclareError::Syntax {
                message: "there is no statement in the text".into(),
                at: None,
            });
        }
        let mut next = self.clone();
        let mut declared = vec![];
        for statement in statements {
            next.note(Change::Declare(statement.sql.clone()));
            match statement.kind {
                Kind::Function(function) => next.add_function(&statement.name, *function)?,
                Kind::DropFunction(must_be) => match next.drop_function(&statement.name) {
                    Err(why) if must_be => return Err(why),
                    _ => {}
                },
                _ => declared.push(next.add(statement)?),
            }
        }
        *self = next;
        Ok(declared)
    }

    fn add_function(&mut self, name: &str, function: Function) -> Result<(), DeclareError> {
        if self.functions.contains_key(name) {
            return Err(DeclareError::Conflict(format!(
                "there is a function {name:?} already: drop it first"
            )));
        }
        self.functions.insert(name.to_string(), function);
        Ok(())
    }

    /// Forgets a function. Views that call it have its body written out, and keep it.
    pub fn drop_function(&mut self, name: &str) -> Result<(), DeclareError> {
        let found = self.functions.remove(name).map(|_| ());
        found.ok_or_else(|| {
            DeclareError::NotFound(format!("cannot drop {name:?}: there is no function of that name"))
        })
    }

    /// The declared functions by name.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Forgets a table or a view that nothing uses.
    pub fn drop(&mut self, name: &str) -> Result<(), DeclareError> {
        system::refuse("drop", name)?;
        let place =
            self.entries.iter().position(|entry| **entry.declared.name() == *name).ok_or_else(|| {
                DeclareError::NotFound(format!(
                    "cannot drop {name:?}: there is no table or view of that name"
                ))
            })?;
        let users = self.users(name);
        if !users.is_empty() {
            return Err(DeclareError::Conflict(format!(
                "cannot drop {name:?}: it is used by {}",
                users.join(", ")
            )));
        }
        self.entries.remove(place);
        self.note(Change::Drop(name.into()));
        Ok(())
    }

    /// All that uses a name, through others too: what uses another stands before it.
    pub fn dependents(&self, name: &str) -> Vec<String> {
        let mut found = BTreeSet::from([name.to_string()]);
        let mut list = vec![];
        for entry in &self.entries {
            if !entry.uses.is_disjoint(&found) {
                found.insert(entry.declared.name().to_string());
                list.insert(0, entry.declared.name().to_string());
            }
        }
        list
    }

    /// Every declaration: what one uses stands before it.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What a name stands for.
    pub fn get(&self, name: &str) -> Option<&Declared> {
        self.entry(name).map(|entry| &entry.declared)
    }

    /// The declaration of a name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| **entry.declared.name() == *name)
    }

    /// The tables, in order.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Mapping>> {
        self.entries.iter().filter_map(|entry| match &entry.declared {
            Declared::Table(mapping) => Some(mapping),
            Declared::View { .. } | Declared::MaterializedView(_) => None,
        })
    }

    /// The materialized views, in order.
    pub fn views(&self) -> impl Iterator<Item = &Arc<Compiled>> {
        self.entries.iter().filter_map(|entry| match &entry.declared {
            Declared::MaterializedView(compiled) => Some(compiled),
            Declared::Table(_) | Declared::View { .. } => None,
        })
    }

    /// The views whose statements read a name.
    pub fn users(&self, name: &str) -> Vec<&str> {
        let uses = self.entries.iter().filter(|entry| entry.uses.contains(name));
        uses.map(|entry| entry.declared.name().as_ref()).collect()
    }

    /// Compiles a query, or the query of a `CREATE VIEW`, without declaring it.
    pub fn compile(&self, sql: &str) -> Result<Compiled, DeclareError> {
        declare::contained(|| self.compiled_alone(sql))
    }

    fn compiled_alone(&self, sql: &str) -> Result<Compiled, DeclareError> {
        let mut statements = declare::parse(sql)?;
        let statement = match (statements.pop(), statements.is_empty()) {
            (Some(only), true) => only,
            _ => return Err(DeclareError::Syntax { message: "expected one query".into(), at: None }),
        };
        match statement.kind {
            Kind::Query(query) | Kind::View(query) => {
                self.compiled(&statement.name, &statement.sql, *query, None)
            }
            Kind::MaterializedView(query, key) => {
                self.compiled(&statement.name, &statement.sql, *query, key.as_deref())
            }
            Kind::Table(_) => {
                Err(DeclareError::Invalid("a table has no plan: name a view or write a SELECT".into()))
            }
            Kind::Function(_) | Kind::DropFunction(_) => {
                Err(DeclareError::Invalid("a function has no plan: write a SELECT that calls it".into()))
            }
        }
    }

    fn compiled(
        &self,
        name: &Arc<str>,
        sql: &Arc<str>,
        mut query: datafusion::sql::sqlparser::ast::Query,
        key: Option<&[String]>,
    ) -> Result<Compiled, DeclareError> {
        functions::expand(&mut query, &self.functions)?;
        lower::compile(name, sql, query, key, &self.relations(), &|name| self.unique(name))
    }

    fn add(&mut self, statement: Statement) -> Result<Declared, DeclareError> {
        let Statement { name, sql, names, kind, if_not_exists: _, or_replace } = statement;
        if or_replace {
            self.make_way(&name, &kind)?;
        }
        if let Some(known) = self.get(&name) {
            let what = match known.kind() {
                QueryKind::Table => "table",
                QueryKind::View | QueryKind::MaterializedView => "view",
            };
            return Err(DeclareError::Conflict(format!(
                "the name {name:?} is taken by a {what}: drop that first"
            )));
        }
        let declared = match kind {
            Kind::Table(mapping) => Declared::Table(mapping),
            Kind::View(mut query) => {
                functions::expand(&mut query, &self.functions)?;
                let query = lower::inlined(&name, *query, &self.relations())?;
                Declared::View { name, query: Arc::new(query) }
            }
            Kind::MaterializedView(query, key) => {
                Declared::MaterializedView(Arc::new(self.compiled(&name, &sql, *query, key.as_deref())?))
            }
            Kind::Function(_) | Kind::DropFunction(_) | Kind::Query(_) => {
                return Err(DeclareError::Unsupported(
                    "a query without a name cannot be declared: write CREATE MATERIALIZED VIEW name AS before it".into(),
                ));
            }
        };
        // A name of a WITH is no declaration.
        let uses = names.into_iter().filter(|name| self.get(name).is_some()).collect();
        let told = match &declared {
            Declared::Table(_) => told::declared(&sql),
            _ => told::Known::default(),
        };
        self.entries.push(Entry { declared: declared.clone(), sql, uses, told });
        Ok(declared)
    }

    /// Takes a view out that another of its kind and name is to replace.
    fn make_way(&mut self, name: &str, by: &Kind) -> Result<(), DeclareError> {
        let Some(known) = self.get(name) else { return Ok(()) };
        let what = match (known.kind(), by) {
            (QueryKind::View, Kind::View(_)) | (QueryKind::MaterializedView, Kind::MaterializedView(..)) => {
                None
            }
            (QueryKind::Table, _) => Some("a table"),
            (QueryKind::View, _) => Some("a view that is not materialized"),
            (QueryKind::MaterializedView, _) => Some("a materialized view"),
        };
        if let Some(what) = what {
            return Err(DeclareError::Conflict(format!(
                "cannot replace {name:?}: it is {what}, and only a view of the same kind replaces one; drop it first"
            )));
        }
        let users = self.users(name);
        if !users.is_empty() {
            return Err(DeclareError::Conflict(format!(
                "cannot replace {name:?}: it is used by {}; drop those first and declare them again afterwards, or declare the new \
                 one under another name",
                users.join(", ")
            )));
        }
        self.entries.retain(|entry| **entry.declared.name() != *name);
        Ok(())
    }

    /// The columns of a table or view.
    pub fn schema(&self, name: &str) -> Result<SchemaRef, DeclareError> {
        match self.get(name) {
            Some(Declared::Table(mapping)) => Ok(mapping.table.schema.clone()),
            Some(Declared::View { query, .. }) => Ok(Arc::new(query.schema().as_arrow().clone())),
            Some(Declared::MaterializedView(compiled)) => Ok(compiled.view.schema.clone()),
            None => Err(DeclareError::NotFound(format!("there is no table or view {name:?}"))),
        }
    }

    pub(crate) fn relations(&self) -> Relations {
        let mut all = Relations::new();
        let relation = |entry: &Entry, known: &Relations| match &entry.declared {
            Declared::Table(mapping) => {
                let key = match &mapping.table.mode {
                    Mode::Changes { key } => key.clone(),
                    Mode::Append | Mode::Latest { .. } => vec![],
                };
                let told = entry.told.clone();
                Relation { schema: mapping.table.schema.clone(), query: None, key, told }
            }
            Declared::View { query, .. } => {
                let schema: Schema = query.schema().as_arrow().clone();
                // It is planned with its query in its place, which says it.
                let query = Some(query.as_ref().clone());
                Relation { schema: Arc::new(schema), query, key: vec![], told: told::Known::default() }
            }
            Declared::MaterializedView(compiled) => {
                let told = told::columns(&compiled.logical, known);
                Relation { schema: compiled.view.schema.clone(), query: None, key: vec![], told }
            }
        };
        for entry in &self.entries {
            let found = relation(entry, &all);
            all.insert(entry.declared.name().to_string(), Arc::new(found));
        }
        all
    }

    /// The columns that no two rows of a table or a materialized view share.
    fn unique(&self, name: &str) -> Option<Vec<usize>> {
        match self.get(name)? {
            Declared::Table(mapping) => match &mapping.table.mode {
                Mode::Latest { key, .. } if mapping.each.is_none() => Some(key.clone()),
                Mode::Changes { key } if !key.is_empty() => Some(key.clone()),
                Mode::Latest { .. } | Mode::Append | Mode::Changes { .. } => None,
            },
            Declared::MaterializedView(compiled) => compiled.unique.clone(),
            Declared::View { .. } => None,
        }
    }
}

/// Whether a name is that of a catalogue in the binary.
pub fn is_shipped(name: &str) -> bool {
    shipped::names().any(|shipped| shipped == name)
}

fn in_file(file: &str, why: DeclareError) -> DeclareError {
    let said = |text: String| format!("{file}: {text}");
    match why {
        DeclareError::Syntax { message, at } => {
            DeclareError::Syntax { message: format!("{message} (in {file})"), at }
        }
        DeclareError::Unsupported(text) => DeclareError::Unsupported(said(text)),
        DeclareError::Invalid(text) => DeclareError::Invalid(said(text)),
        DeclareError::NotFound(text) => DeclareError::NotFound(said(text)),
        DeclareError::Conflict(text) => DeclareError::Conflict(said(text)),
        DeclareError::Constraint(text) => DeclareError::Constraint(said(text)),
        DeclareError::Unavailable(text) => DeclareError::Unavailable(said(text)),
        DeclareError::Internal(text) => DeclareError::Internal(said(text)),
    }
}
