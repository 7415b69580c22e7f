//! Expressions of a kind over a scope.
use super::generate::{Column, Generator, Scope};
use super::kind::{Kind, Kind::*, STORED};

impl Generator {
    /// A column, or a literal where the scope has none of the kind.
    pub fn leaf(&mut self, scope: &Scope, kind: Kind) -> String {
        let list = scope.of(kind);
        let outer: Vec<Column> = scope.outer.iter().filter(|column| column.kind == kind).cloned().collect();
        if !outer.is_empty() && self.random.one_in(4) {
            return self.random.pick(&outer).sql;
        }
        if list.is_empty() || self.random.one_in(7) {
            return match self.random.one_in(12) {
                true => format!("NULL::{}", kind.sql()),
                false => kind.literal(&mut self.random),
            };
        }
        self.random.pick(&list).sql
    }

    pub fn expression(&mut self, scope: &Scope, kind: Kind, depth: usize) -> String {
        if depth == 0 || self.random.one_in(3) {
            return self.leaf(scope, kind);
        }
        let below = depth - 1;
        let a = self.expression(scope, kind, below);
        match self.random.below(12) {
            0 => {
                let condition = self.predicate(scope, below);
                let b = self.expression(scope, kind, below);
                match self.random.one_in(3) {
                    true => format!("CASE WHEN {condition} THEN {a} END"),
                    false => format!("CASE WHEN {condition} THEN {a} ELSE {b} END"),
                }
            }
            1 => format!("coalesce({a}, {})", self.leaf(scope, kind)),
            2 => format!("nullif({a}, {})", self.leaf(scope, kind)),
            3 if kind != Bool => {
                let word = self.random.pick(&["greatest", "least"]);
                format!("{word}({a}, {})", self.leaf(scope, kind))
            }
            4 if kind == Int => {
                let (x, y) = (kind.literal(&mut self.random), self.leaf(scope, kind));
                format!("CASE {a} WHEN {x} THEN {y} WHEN {} THEN 8 ELSE 9 END", self.random.below(5))
            }
            _ => self.of_kind(scope, kind, below, a),
        }
    }

    fn of_kind(&mut self, scope: &Scope, kind: Kind, depth: usize, a: String) -> String {
        let b = self.leaf(scope, kind);
        let choice = self.random.below(8);
        match kind {
            Int => match choice {
                0 | 1 => format!("({a} + {b})"),
                2 => format!("({a} - {b})"),
                3 => format!("abs({a})"),
                4 => format!("({a} % {})", self.random.pick(&["2", "3", "-2"])),
                5 => format!("({a} / {})", self.random.pick(&["2", "3", "nullif(2, 2)"])),
                6 => format!("length({})", self.expression(scope, Text, depth)),
                _ => match self.random.below(5) {
                    0 => format!("({} - {})", self.leaf(scope, Date), self.leaf(scope, Date)),
                    1 => {
                        let part =
                            self.random.pick(&["year", "month", "day", "dow", "doy", "quarter", "week"]);
                        format!("extract({part} FROM {})::int", self.leaf(scope, Date))
                    }
                    2 => format!("({})::int", self.expression(scope, Num, depth)),
                    3 => format!("({})::int", self.expression(scope, Double, depth)),
                    _ => format!("({})::int", self.predicate(scope, 0)),
                },
            },
            Big => match choice {
                0..=2 => format!("({a} + {b})"),
                3 => format!("({a} * 2)"),
                4 => format!("({a} / {})", self.random.pick(&["2", "3", "1000"])),
                5 => format!("({a} % 7)"),
                _ => format!("({} + {b})", self.expression(scope, Int, depth)),
            },
            Num => match choice {
                0 | 1 => format!("({a} + {b})"),
                2 => format!("({a} - {b})"),
                3 => format!("({a} * 2)"),
                4 => format!("round({a}, {})", self.random.pick(&["0", "1"])),
                5 => format!("abs({a})"),
                6 => format!("{}({a})", self.random.pick(&["floor", "ceil", "trunc", "round"])),
                _ => format!("({} + {b})", self.expression(scope, Int, depth)),
            },
            Double => match choice {
                0 | 1 => format!("({a} + {b})"),
                2 => format!("({a} * 0.5)"),
                3 => format!("(-{a})"),
                4 => format!("{}({a})", self.random.pick(&["floor", "ceil", "abs", "round"])),
                5 => format!("({})::double precision", self.expression(scope, Int, depth)),
                _ => format!("({a} - {b})"),
            },
            Text => match choice {
                0 | 1 => format!("({a} || {b})"),
                2 => format!("{}({a})", self.random.pick(&["upper", "lower", "trim", "reverse", "initcap"])),
                3 => format!("substr({a}, {}, {})", 1 + self.random.below(2), self.random.below(3)),
                4 => format!("replace({a}, 'a', 'xy')"),
                5 => format!("concat({a}, '-', {b})"),
                6 => match self.random.below(4) {
                    0 => format!("left({a}, {})", self.random.pick(&["1", "2", "-1"])),
                    1 => format!("lpad({a}, 3, '*')"),
                    2 => format!("repeat({a}, 2)"),
                    _ => format!("split_part({a}, ' ', 1)"),
                },
                _ => {
                    let from = self.random.pick(&[Int, Big, Num, Bool, Date, Stamp]);
                    format!("({})::text", self.leaf(scope, from))
                }
            },
            Bool => self.predicate(scope, depth),
            Date => match choice {
                0 | 1 => format!("({a} + {})", self.random.below(40)),
                2 | 3 => format!("({a} - {})", self.leaf_int(scope)),
                4 => format!("({})::date", self.expression(scope, Stamp, depth)),
                _ => format!("({a} + {})", self.leaf_int(scope)),
            },
            Stamp => match choice {
                0 | 1 => format!("({a} + {})", Interval.literal(&mut self.random)),
                2 => format!("({a} - {})", Interval.literal(&mut self.random)),
                3 | 4 => {
                    let unit = self.random.pick(&["hour", "day", "week", "month", "quarter", "year"]);
                    format!("date_trunc('{unit}', {a})")
                }
                5 => format!("({})::timestamp", self.expression(scope, Date, depth)),
                6 => format!(
                    "({} + {})",
                    self.expression(scope, Date, depth),
                    Interval.literal(&mut self.random)
                ),
                _ => format!("date_bin(INTERVAL '15 minutes', {a}, TIMESTAMP '2024-01-01')"),
            },
            Approx | Array | Interval => a,
        }
    }

    fn leaf_int(&mut self, scope: &Scope) -> String {
        self.leaf(scope, Int)
    }

    /// What is only shown.
    pub fn inexact(&mut self, scope: &Scope) -> (String, Kind) {
        match self.random.below(8) {
            0 => {
                let (a, b) = (self.leaf(scope, Num), self.leaf(scope, Num));
                (format!("({a} / nullif({b}, 0))"), Approx)
            }
            1 => {
                let (a, b) = (self.leaf(scope, Double), self.leaf(scope, Double));
                (format!("({a} / nullif({b}, 0))"), Approx)
            }
            2 => (format!("sqrt(abs({}))", self.leaf(scope, Double)), Approx),
            3 => (format!("({} - {})", self.leaf(scope, Stamp), self.leaf(scope, Stamp)), Interval),
            4 => (format!("ARRAY[{}, {}]", self.leaf(scope, Int), self.leaf(scope, Int)), Array),
            5 => {
                let picture = self.random.pick(&["YYYY-MM-DD", "HH24:MI:SS", "DD Mon YYYY", "IYYY-IW", "Q"]);
                (format!("to_char({}, '{picture}')", self.leaf(scope, Stamp)), Text)
            }
            6 => (format!("({} * {})", self.leaf(scope, Num), self.leaf(scope, Num)), Num),
            _ => (format!("power({}, 2)", self.leaf(scope, Double)), Approx),
        }
    }

    pub fn predicate(&mut self, scope: &Scope, depth: usize) -> String {
        let columns = &scope.columns;
        let kind = match columns.is_empty() || self.random.one_in(5) {
            true => self.random.pick(STORED),
            false => self.random.pick(columns).kind,
        };
        let kind = if STORED.contains(&kind) { kind } else { Int };
        if depth > 0 {
            match self.random.below(9) {
                0 | 1 => {
                    let (a, b) = (self.predicate(scope, depth - 1), self.predicate(scope, depth - 1));
                    return format!("({a} {} {b})", self.random.pick(&["AND", "OR"]));
                }
                2 => return format!("(NOT {})", self.predicate(scope, depth - 1)),
                3 if depth > 1 => return self.subquery_predicate(scope),
                _ => {}
            }
        }
        let a = self.expression(scope, kind, depth.min(1));
        match self.random.below(10) {
            0 => format!("({a} IS NULL)"),
            1 => format!("({a} IS NOT NULL)"),
            2 => {
                let list: Vec<String> = (0..3).map(|_| kind.value(&mut self.random)).collect();
                format!("({a} {} ({}))", self.random.pick(&["IN", "NOT IN"]), list.join(", "))
            }
            3 if kind != Bool => {
                let (b, c) = (kind.literal(&mut self.random), self.leaf(scope, kind));
                format!("({a} {}BETWEEN {b} AND {c})", self.random.pick(&["", "NOT "]))
            }
            4 if kind == Text => {
                let pattern = self.random.pick(&["a%", "%b%", "_", "%\\%", "B%"]);
                format!("({a} {} '{pattern}')", self.random.pick(&["LIKE", "NOT LIKE", "ILIKE"]))
            }
            5 => {
                let b = self.leaf(scope, kind);
                format!("({a} IS {}DISTINCT FROM {b})", self.random.pick(&["", "NOT "]))
            }
            6 if kind == Bool => {
                format!("({a} IS {})", self.random.pick(&["TRUE", "NOT TRUE", "FALSE", "UNKNOWN"]))
            }
            _ => {
                let b = self.leaf(scope, kind);
                format!("({a} {} {b})", self.random.pick(&["=", "=", "<", "<=", ">", ">=", "<>"]))
            }
        }
    }

    /// A relation inside a subquery, and a condition that ties it to the query around.
    fn inner(&mut self, scope: &Scope) -> (String, Scope, String) {
        let (from, inner) = self.from(0, &scope.columns);
        let pairs: Vec<String> = inner
            .columns
            .iter()
            .flat_map(|a| {
                scope.columns.iter().filter(|b| a.kind == b.kind).map(move |b| (a.sql.clone(), b.sql.clone()))
            })
            .map(|(a, b)| format!("{a} = {b}"))
            .collect();
        let condition = match pairs.is_empty() || self.random.one_in(5) {
            true => self.predicate(&inner, 0),
            false => self.random.pick(&pairs),
        };
        let more =
            if self.random.one_in(3) { format!(" AND {}", self.predicate(&inner, 0)) } else { String::new() };
        (from, inner, format!("{condition}{more}"))
    }

    pub fn subquery_predicate(&mut self, scope: &Scope) -> String {
        let (from, inner, condition) = self.inner(scope);
        let not = self.random.pick(&["", "", "NOT "]);
        match self.random.below(5) {
            0 | 1 => format!("({not}EXISTS (SELECT 1 FROM {from} WHERE {condition}))"),
            2 | 3 => {
                let kind = self.random.pick(&scope.columns).kind;
                let kind = if STORED.contains(&kind) { kind } else { Int };
                let a = self.leaf(scope, kind);
                let b = self.leaf(&Scope { columns: inner.columns, outer: vec![] }, kind);
                let filter =
                    if self.random.one_in(2) { format!(" WHERE {condition}") } else { String::new() };
                format!("({a} {not}IN (SELECT {b} FROM {from}{filter}))")
            }
            _ => {
                let b = self.scalar(scope, Int);
                format!("({} {} {b})", self.leaf(scope, Int), self.random.pick(&["<", "=", ">=", "<>"]))
            }
        }
    }

    /// A scalar subquery of a number: one row, whatever the tables hold.
    pub fn scalar(&mut self, scope: &Scope, kind: Kind) -> String {
        let (from, inner, condition) = self.inner(scope);
        let own = Scope { columns: inner.columns, outer: vec![] };
        let a = self.leaf(&own, kind);
        let call = match self.random.below(5) {
            0 => "count(*)".to_string(),
            1 => format!("sum({a})"),
            2 => format!("coalesce(max({a}), 0)"),
            3 => format!("count(DISTINCT {a})"),
            _ => format!("min({a})"),
        };
        let filter = if self.random.one_in(4) { String::new() } else { format!(" WHERE {condition}") };
        format!("(SELECT {call} FROM {from}{filter})")
    }
}
