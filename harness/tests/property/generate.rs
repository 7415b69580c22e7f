//! The generator of queries: its scope of columns, what stands in FROM, and the shapes that a query has.
use super::kind::{Kind, Random, STORED};
use super::world::Table;

/// A column that an expression may name.
#[derive(Clone, Debug)]
pub struct Column {
    pub sql: String,
    pub kind: Kind,
}

/// The columns of FROM, and those of the queries around.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    pub columns: Vec<Column>,
    pub outer: Vec<Column>,
}

impl Scope {
    pub fn of(&self, kind: Kind) -> Vec<Column> {
        self.columns.iter().filter(|column| column.kind == kind).cloned().collect()
    }
}

/// A query and the kinds of its columns, which are named c0, c1 and so on.
#[derive(Clone, Debug)]
pub struct Select {
    pub sql: String,
    pub kinds: Vec<Kind>,
}

pub struct Generator {
    pub random: Random,
    tables: Vec<Table>,
    names: usize,
}

impl Generator {
    pub fn new(random: Random, tables: Vec<Table>) -> Generator {
        Generator { random, tables, names: 0 }
    }

    /// A query over the whole dialect.
    pub fn query(&mut self) -> String {
        self.names = 0;
        let depth = 1 + self.random.below(2);
        self.select(depth, None, true).sql
    }

    pub fn name(&mut self, letter: &str) -> String {
        self.names += 1;
        format!("{letter}{}", self.names)
    }

    /// A query; `shown` where its answer is only shown, so that it may have inexact columns.
    pub fn select(&mut self, depth: usize, wanted: Option<&[Kind]>, shown: bool) -> Select {
        if let Some(kinds) = wanted {
            return match self.random.below(8) {
                0 => self.values(kinds),
                1 if depth > 0 => self.set_operation(depth, kinds),
                _ => self.plain(depth, Some(kinds), false),
            };
        }
        match self.random.below(28) {
            0..=6 => self.plain(depth, None, shown),
            7..=12 => self.grouped(depth, shown),
            13..=17 => self.windowed(depth, shown),
            18 => self.distinct_on(depth),
            19 | 20 => {
                let kinds = self.kinds();
                self.set_operation(depth, &kinds)
            }
            21 | 22 => self.limited(depth),
            23 => self.with(depth, shown),
            24 => self.recursive(),
            25 => self.ranked(depth),
            26 => self.series(depth),
            _ => self.correlated(depth, shown),
        }
    }

    pub fn kinds(&mut self) -> Vec<Kind> {
        (0..1 + self.random.below(3)).map(|_| self.random.pick(STORED)).collect()
    }

    /// One relation with a name of its own.
    fn relation(&mut self, depth: usize) -> (String, Vec<Column>) {
        let choice = self.random.below(10);
        if depth == 0 || choice < 6 {
            let table = self.random.pick(&self.tables);
            let name = self.name("r");
            let column = |(of, kind): &(String, Kind)| Column { sql: format!("{name}.{of}"), kind: *kind };
            let columns = table.columns.iter().map(column).collect();
            return (format!("{} AS {name}", table.name), columns);
        }
        let name = self.name("q");
        let select = match choice {
            6 => {
                let kinds = self.kinds();
                self.values(&kinds)
            }
            _ => self.select(depth - 1, None, false),
        };
        let columns = self.named(&name, &select.kinds);
        (format!("({}) AS {name}", select.sql), columns)
    }

    fn named(&self, name: &str, kinds: &[Kind]) -> Vec<Column> {
        let column = |(i, kind): (usize, &Kind)| Column { sql: format!("{name}.c{i}"), kind: *kind };
        kinds.iter().enumerate().map(column).collect()
    }

    /// What stands after FROM, and the columns there.
    pub fn from(&mut self, depth: usize, outer: &[Column]) -> (String, Scope) {
        let (mut sql, columns) = self.relation(depth);
        let mut scope = Scope { columns, outer: outer.to_vec() };
        if self.random.one_in(2) {
            return (sql, scope);
        }
        if depth == 0 && self.random.one_in(6) {
            return self.joined_using(outer);
        }
        for _ in 0..1 + usize::from(self.random.one_in(4)) {
            let (right, columns) = self.relation(depth.saturating_sub(1));
            let both = Scope { columns: columns.clone(), outer: scope.columns.clone() };
            let pairs: Vec<String> = columns
                .iter()
                .flat_map(|b| {
                    scope
                        .columns
                        .iter()
                        .filter(|a| a.kind == b.kind)
                        .map(move |a| format!("{} = {}", a.sql, b.sql))
                })
                .collect();
            let word =
                self.random.pick(&["JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
            let on = match pairs.is_empty() || self.random.one_in(10) {
                true => self.less(&scope.columns, &columns),
                false => self.random.pick(&pairs),
            };
            let more = match self.random.below(8) {
                0 => {
                    let both = Scope { columns: [both.columns, both.outer].concat(), outer: vec![] };
                    format!(" AND {}", self.predicate(&both, 1))
                }
                1 if pairs.len() > 1 => format!(" AND {}", self.random.pick(&pairs)),
                _ => String::new(),
            };
            sql = format!("{sql} {word} {right} ON {on}{more}");
            scope.columns.extend(columns);
        }
        (sql, scope)
    }

    /// A condition that is no equality.
    fn less(&mut self, left: &[Column], right: &[Column]) -> String {
        let pairs: Vec<(Column, Column)> = left
            .iter()
            .flat_map(|a| right.iter().filter(|b| a.kind == b.kind).map(|b| (a.clone(), b.clone())))
            .collect();
        if pairs.is_empty() {
            let a = self.random.pick(left);
            return format!("{} IS NOT NULL", a.sql);
        }
        let (a, b) = self.random.pick(&pairs);
        format!("{} {} {}", a.sql, self.random.pick(&["<", "<=", ">", "<>"]), b.sql)
    }

    fn joined_using(&mut self, outer: &[Column]) -> (String, Scope) {
        let (left, right) = (self.random.pick(&self.tables), self.random.pick(&self.tables));
        let (a, b) = (self.name("r"), self.name("r"));
        let word = self.random.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let sql = format!("{} AS {a} {word} {} AS {b} USING (k)", left.name, right.name);
        let mut columns = vec![Column { sql: "k".into(), kind: Kind::Int }];
        for (alias, table) in [(&a, &left), (&b, &right)] {
            let rest = table.columns.iter().filter(|(of, _)| of != "k");
            columns.extend(rest.map(|(of, kind)| Column { sql: format!("{alias}.{of}"), kind: *kind }));
        }
        (sql, Scope { columns, outer: outer.to_vec() })
    }

    pub fn filter(&mut self, scope: &Scope, depth: usize) -> String {
        match self.random.below(2) {
            0 => String::new(),
            _ => format!(" WHERE {}", self.predicate(scope, 1 + depth.min(1))),
        }
    }

    /// `expr AS c0, ..`.
    pub fn listed(expressions: &[String]) -> String {
        let one = |(i, sql): (usize, &String)| format!("{sql} AS c{i}");
        expressions.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
    }

    fn plain(&mut self, depth: usize, wanted: Option<&[Kind]>, shown: bool) -> Select {
        let (from, scope) = self.from(depth, &[]);
        let mut kinds = match wanted {
            Some(kinds) => kinds.to_vec(),
            None => (0..1 + self.random.below(4)).map(|_| self.random.pick(STORED)).collect(),
        };
        let mut list: Vec<String> = kinds.iter().map(|kind| self.expression(&scope, *kind, 2)).collect();
        let distinct = if self.random.one_in(6) { "DISTINCT " } else { "" };
        if shown && wanted.is_none() && distinct.is_empty() && self.random.one_in(3) {
            let (sql, kind) = self.inexact(&scope);
            list.push(sql);
            kinds.push(kind);
        }
        let filter = self.filter(&scope, depth);
        Select { sql: format!("SELECT {distinct}{} FROM {from}{filter}", Self::listed(&list)), kinds }
    }

    fn values(&mut self, kinds: &[Kind]) -> Select {
        let mut row = || {
            let cells: Vec<String> = kinds
                .iter()
                .map(|kind| match self.random.one_in(6) {
                    true => format!("NULL::{}", kind.sql()),
                    false => kind.literal(&mut self.random),
                })
                .collect();
            format!("({})", cells.join(", "))
        };
        let rows: Vec<String> = (0..3).map(|_| row()).collect();
        let names: Vec<String> = (0..kinds.len()).map(|i| format!("c{i}")).collect();
        let name = self.name("v");
        let sql = format!("SELECT * FROM (VALUES {}) AS {name} ({})", rows.join(", "), names.join(", "));
        Select { sql, kinds: kinds.to_vec() }
    }

    fn set_operation(&mut self, depth: usize, kinds: &[Kind]) -> Select {
        let below = depth.saturating_sub(1);
        let left = self.select(below, Some(kinds), false).sql;
        let right = self.select(below, Some(kinds), false).sql;
        let word = self.random.pick(&[
            "UNION ALL",
            "UNION",
            "UNION",
            "EXCEPT",
            "EXCEPT ALL",
            "INTERSECT",
            "INTERSECT ALL",
        ]);
        Select { sql: format!("({left}) {word} ({right})"), kinds: kinds.to_vec() }
    }

    /// All columns of an answer as ORDER BY, from some place on.
    fn all_ordered(&mut self, count: usize) -> String {
        let first = self.random.below(count);
        let place = |i: usize| (first + i) % count + 1;
        let one = |i: usize, random: &mut Random| {
            let way = random.pick(&["", "", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
            format!("{}{way}", place(i))
        };
        (0..count).map(|i| one(i, &mut self.random)).collect::<Vec<_>>().join(", ")
    }

    fn limited(&mut self, depth: usize) -> Select {
        let kinds = self.kinds();
        let inner = self.select(depth, Some(&kinds), false);
        let order = self.all_ordered(kinds.len());
        let offset =
            if self.random.one_in(3) { format!(" OFFSET {}", self.random.below(4)) } else { String::new() };
        let limit = match self.random.one_in(6) && !offset.is_empty() {
            true => String::new(),
            false => format!(" LIMIT {}", self.random.below(7)),
        };
        let name = self.name("l");
        let sql = match self.random.one_in(2) {
            true => format!("SELECT * FROM ({}) AS {name} ORDER BY {order}{limit}{offset}", inner.sql),
            false => format!("({}) ORDER BY {order}{limit}{offset}", inner.sql),
        };
        Select { sql, kinds: inner.kinds }
    }

    fn distinct_on(&mut self, depth: usize) -> Select {
        let (from, scope) = self.from(depth, &[]);
        let filter = self.filter(&scope, depth);
        let keys: Vec<Column> =
            scope.columns.iter().filter(|column| STORED.contains(&column.kind)).cloned().collect();
        let key = self.random.pick(&keys);
        let (on, more) = (key.sql, self.kinds());
        let mut list = vec![on.clone()];
        list.extend(more.iter().map(|kind| self.expression(&scope, *kind, 1)));
        let rest: Vec<String> = (2..=list.len())
            .map(|i| format!("{i}{}", self.random.pick(&["", " DESC", " NULLS FIRST"])))
            .collect();
        let sql = format!(
            "SELECT DISTINCT ON ({on}) {} FROM {from}{filter} ORDER BY {on}, {}",
            Self::listed(&list),
            rest.join(", ")
        );
        Select { sql, kinds: [vec![key.kind], more].concat() }
    }

    fn with(&mut self, depth: usize, shown: bool) -> Select {
        let inner = self.select(depth.saturating_sub(1), None, false);
        let (w, a, b) = (self.name("w"), self.name("x"), self.name("x"));
        let left = self.named(&a, &inner.kinds);
        let right = self.named(&b, &inner.kinds);
        let word = self.random.pick(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
        let place = self.random.below(left.len());
        let (from, columns) = match self.random.one_in(3) {
            true => (format!("{w} AS {a}"), left),
            false => (
                format!("{w} AS {a} {word} {w} AS {b} ON {} = {}", left[place].sql, right[place].sql),
                [left, right].concat(),
            ),
        };
        let scope = Scope { columns, outer: vec![] };
        let mut kinds = self.kinds();
        let mut list: Vec<String> = kinds.iter().map(|kind| self.expression(&scope, *kind, 1)).collect();
        if shown && self.random.one_in(3) {
            let (sql, kind) = self.inexact(&scope);
            list.push(sql);
            kinds.push(kind);
        }
        let filter = self.filter(&scope, 0);
        let sql = format!("WITH {w} AS ({}) SELECT {} FROM {from}{filter}", inner.sql, Self::listed(&list));
        Select { sql, kinds }
    }

    fn recursive(&mut self) -> Select {
        let table = self.random.pick(&self.tables);
        let ints: Vec<String> =
            table.columns.iter().filter(|(_, kind)| *kind == Kind::Int).map(|(of, _)| of.clone()).collect();
        let (x, y) = (self.random.pick(&ints), self.random.pick(&ints));
        let w = self.name("w");
        let name = &table.name;
        let bound = 1 + self.random.below(4);
        let sql = match self.random.below(4) {
            0 => format!(
                "WITH RECURSIVE {w} (c0, c1) AS (SELECT {x}, 0 FROM {name} UNION ALL SELECT c0, c1 + 1 FROM {w} WHERE c1 < {bound}) SELECT c0, c1 FROM {w}"
            ),
            1 => format!(
                "WITH RECURSIVE {w} (c0, c1) AS (SELECT {x}, {y} FROM {name} UNION SELECT {w}.c0, e.{y} FROM {w} JOIN {name} AS e ON e.{x} = {w}.c1) SELECT c0, c1 FROM {w}"
            ),
            2 => format!(
                "WITH RECURSIVE {w} (c0, c1) AS (SELECT DISTINCT {x}, 0 FROM {name} UNION SELECT e.{x} + 1, {w}.c1 + 1 FROM {w} JOIN {name} AS e ON e.{y} = {w}.c0 WHERE {w}.c1 < {bound}) SELECT c0, max(c1) AS c1 FROM {w} GROUP BY c0"
            ),
            _ => format!(
                "WITH RECURSIVE {w} (c0, c1) AS (VALUES (0, 1) UNION ALL SELECT c0 + 1, c1 * 2 FROM {w} WHERE c0 < {bound}) SELECT {w}.c0, {w}.c1 + r.{x} AS c1 FROM {w} LEFT JOIN {name} AS r ON r.{x} = {w}.c0"
            ),
        };
        let kinds = vec![Kind::Int, Kind::Int];
        Select { sql, kinds }
    }

    /// generate_series and unnest beside a relation.
    fn series(&mut self, depth: usize) -> Select {
        let (relation, mut columns) = self.relation(depth.min(1));
        let name = self.name("g");
        let ints: Vec<Column> = columns.iter().filter(|column| column.kind == Kind::Int).cloned().collect();
        let made = match (self.random.below(4), ints.is_empty()) {
            (0, false) => format!("generate_series(1, {})", self.random.pick(&ints).sql),
            (1, false) => {
                let column = self.random.pick(&ints).sql;
                format!("unnest(ARRAY[{column}, {column} + 1])")
            }
            (2, _) => format!("unnest(ARRAY[{}, 3, NULL])", self.random.below(5)),
            _ => format!("generate_series({}, {})", self.random.between(-1, 2), self.random.between(1, 4)),
        };
        let column = Column { sql: format!("{name}.n"), kind: Kind::Int };
        let from = match self.random.below(3) {
            0 => {
                columns.push(column);
                format!("{relation} CROSS JOIN {made} AS {name} (n)")
            }
            1 => {
                columns.push(column);
                format!("{relation}, {made} AS {name} (n)")
            }
            _ => {
                let low = self.random.between(-2, 1);
                let on = match ints.is_empty() {
                    true => "true".into(),
                    false => format!("{} = {name}.n", self.random.pick(&ints).sql),
                };
                columns.push(column);
                format!("generate_series({low}, 4) AS {name} (n) LEFT JOIN {relation} ON {on}")
            }
        };
        let scope = Scope { columns, outer: vec![] };
        let kinds = vec![Kind::Int, Kind::Int, self.random.pick(STORED)];
        let mut list: Vec<String> = kinds.iter().map(|kind| self.expression(&scope, *kind, 1)).collect();
        list[0] = format!("{name}.n");
        Select { sql: format!("SELECT {} FROM {from}", Self::listed(&list)), kinds }
    }

    /// Subqueries in every place.
    fn correlated(&mut self, depth: usize, shown: bool) -> Select {
        let (from, scope) = self.from(depth.saturating_sub(1), &[]);
        let mut kinds = self.kinds();
        let mut list: Vec<String> = kinds.iter().map(|kind| self.expression(&scope, *kind, 1)).collect();
        kinds.push(Kind::Int);
        list.push(self.scalar(&scope, Kind::Int));
        if shown && self.random.one_in(2) {
            kinds.push(Kind::Bool);
            list.push(self.subquery_predicate(&scope));
        }
        let condition = self.subquery_predicate(&scope);
        let more = match self.random.below(4) {
            0 => format!(" AND {}", self.predicate(&scope, 1)),
            1 => format!(" OR {}", self.predicate(&scope, 0)),
            _ => String::new(),
        };
        Select { sql: format!("SELECT {} FROM {from} WHERE {condition}{more}", Self::listed(&list)), kinds }
    }
}
