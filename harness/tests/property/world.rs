//! A world as data: tables, the statements that change them, queries and when their views are made.
use super::generate::Generator;
use super::kind::{Kind, Random, STORED};

#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    pub columns: Vec<(String, Kind)>,
    /// Whether its first column, `id`, is a primary key.
    pub keyed: bool,
}

impl Table {
    fn ddl(&self) -> String {
        let column = |(i, (name, kind)): (usize, &(String, Kind))| {
            let key = if i == 0 && self.keyed { " PRIMARY KEY" } else { "" };
            format!("{name} {}{key}", kind.sql())
        };
        let columns: Vec<String> = self.columns.iter().enumerate().map(column).collect();
        format!("CREATE TABLE {} ({})", self.name, columns.join(", "))
    }
}

#[derive(Clone, Debug)]
pub struct Query {
    pub sql: String,
    /// The step before which its view is made.
    pub from_step: usize,
}

#[derive(Clone, Debug)]
pub enum Statement {
    Insert { table: String, rows: Vec<String> },
    Other(String),
}

impl Statement {
    pub fn sql(&self) -> String {
        match self {
            Statement::Insert { table, rows } => format!("INSERT INTO {table} VALUES {}", rows.join(", ")),
            Statement::Other(sql) => sql.clone(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct World {
    pub seed: u64,
    pub workers: usize,
    pub tables: Vec<String>,
    pub queries: Vec<Query>,
    pub steps: Vec<Vec<Statement>>,
}

const STEPS: usize = 6;

impl World {
    pub fn new(seed: u64, queries: usize) -> World {
        let mut random = Random::new(seed);
        let workers = random.pick(&[1, 2, 4]);
        let count = 2 + random.below(3);
        let tables: Vec<Table> = (0..count).map(|i| table(i, &mut random)).collect();
        let mut changes = Changes { next_id: 0, ids: vec![], random: &mut random };
        let steps = (0..STEPS).map(|step| changes.step(&tables, step)).collect();
        let mut generator = Generator::new(random, tables.clone());
        let mut list: Vec<Query> = tables
            .iter()
            .map(|table| Query { sql: format!("SELECT * FROM {}", table.name), from_step: STEPS })
            .collect();
        for _ in 0..queries {
            let sql = generator.query();
            let from_step = generator.random.pick(&[0, 0, STEPS / 2, STEPS - 1]);
            list.push(Query { sql, from_step });
        }
        World { seed, workers, tables: tables.iter().map(Table::ddl).collect(), queries: list, steps }
    }
}

fn table(i: usize, random: &mut Random) -> Table {
    let keyed = random.one_in(2);
    let mut columns = vec![];
    if keyed {
        columns.push(("id".to_string(), Kind::Int));
    }
    columns.push(("k".into(), Kind::Int));
    for letter in ["a", "b", "c", "d", "e"].iter().take(2 + random.below(4)) {
        columns.push((letter.to_string(), random.pick(STORED)));
    }
    Table { name: format!("t{i}"), columns, keyed }
}

struct Changes<'a> {
    next_id: i64,
    /// Rows that were given to tables with a key: table, id, values.
    ids: Vec<(String, i64, String)>,
    random: &'a mut Random,
}

impl Changes<'_> {
    fn step(&mut self, tables: &[Table], step: usize) -> Vec<Statement> {
        if step == 0 {
            return tables.iter().map(|table| self.insert(table)).collect();
        }
        let mut list = vec![];
        for _ in 0..1 + self.random.below(4) {
            let table = self.random.pick(tables);
            list.extend(self.change(&table));
        }
        list
    }

    fn change(&mut self, table: &Table) -> Vec<Statement> {
        let name = &table.name;
        match self.random.below(16) {
            0..=5 => vec![self.insert(table)],
            6..=9 => {
                let (column, kind) = self.random.pick(&table.columns[usize::from(table.keyed)..]);
                let value = match (self.random.one_in(3), kind) {
                    (true, Kind::Int | Kind::Big | Kind::Double | Kind::Num) => format!("{column} + 1"),
                    (true, Kind::Date) => format!("{column} + 1"),
                    _ => kind.value(self.random),
                };
                vec![Statement::Other(format!(
                    "UPDATE {name} SET {column} = {value}{}",
                    self.condition(table)
                ))]
            }
            10 => {
                let column = self.random.pick(&table.columns).0;
                vec![Statement::Other(format!(
                    "UPDATE {name} SET {column} = {column}{}",
                    self.condition(table)
                ))]
            }
            11..=13 => vec![Statement::Other(format!("DELETE FROM {name}{}", self.condition(table)))],
            14 if table.keyed => {
                let known: Vec<_> = self.ids.iter().filter(|(of, ..)| of == name).cloned().collect();
                if known.is_empty() {
                    return vec![self.insert(table)];
                }
                let (_, id, row) = self.random.pick(&known);
                let back = Statement::Insert { table: name.clone(), rows: vec![row] };
                vec![Statement::Other(format!("DELETE FROM {name} WHERE id = {id}")), back]
            }
            14 => {
                let twice = format!("INSERT INTO {name} SELECT * FROM {name}{}", self.condition(table));
                vec![Statement::Other(twice)]
            }
            _ => vec![Statement::Other(format!("DELETE FROM {name}"))],
        }
    }

    fn insert(&mut self, table: &Table) -> Statement {
        let mut rows = vec![];
        for _ in 0..1 + self.random.below(8) {
            let mut cells = vec![];
            for (i, (name, kind)) in table.columns.iter().enumerate() {
                cells.push(match (i, table.keyed, name.as_str()) {
                    (0, true, _) => {
                        self.next_id += 1;
                        self.next_id.to_string()
                    }
                    _ => kind.value(self.random),
                });
            }
            let row = format!("({})", cells.join(", "));
            if table.keyed {
                self.ids.push((table.name.clone(), self.next_id, row.clone()));
            }
            rows.push(row);
        }
        Statement::Insert { table: table.name.clone(), rows }
    }

    fn condition(&mut self, table: &Table) -> String {
        let (column, kind) = self.random.pick(&table.columns);
        match self.random.below(5) {
            0 => format!(" WHERE {column} IS NULL"),
            1 => format!(" WHERE {column} IS NOT NULL"),
            2 if table.keyed => format!(" WHERE id % 3 = {}", self.random.below(3)),
            2 | 3 => format!(" WHERE {column} = {}", kind.literal(self.random)),
            _ => format!(" WHERE {column} > {}", kind.literal(self.random)),
        }
    }
}
