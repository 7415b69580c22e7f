//! Grouped queries and window functions.
use super::generate::{Generator, Scope, Select};
use super::kind::{Kind, Kind::*, NUMBERS, STORED};

impl Generator {
    /// A call of an aggregate, and its kind; `shown` where it may be inexact.
    fn aggregate(&mut self, scope: &Scope, shown: bool) -> (String, Kind) {
        let number = self.random.pick(NUMBERS);
        let a = self.expression(scope, number, 1);
        let any = self.random.pick(STORED);
        let b = self.leaf(scope, any);
        let (call, kind) = match self.random.below(if shown { 26 } else { 18 }) {
            0 => ("count(*)".to_string(), Big),
            1 => (format!("count({b})"), Big),
            2 => (format!("count(DISTINCT {b})"), Big),
            3..=5 => (format!("sum({a})"), self.summed(number)),
            6 => (format!("sum(DISTINCT {a})"), self.summed(number)),
            7..=9 if any != Bool => (format!("{}({b})", self.random.pick(&["min", "max"])), any),
            10 => {
                let word = self.random.pick(&["bool_and", "bool_or", "every"]);
                (format!("{word}({})", self.predicate(scope, 0)), Bool)
            }
            11 | 12 => {
                let (t, u) = (self.leaf(scope, Text), self.leaf(scope, any));
                let way = self.random.pick(&["", " DESC", " NULLS FIRST"]);
                (format!("string_agg({t}, ',' ORDER BY {u}{way}, {t})"), Text)
            }
            13 => {
                let t = self.leaf(scope, Text);
                (format!("string_agg(DISTINCT {t}, '+' ORDER BY {t})"), Text)
            }
            14 if any != Bool => {
                let way = self.random.pick(&["", " DESC"]);
                let at = self.random.pick(&["0", "0.25", "0.5", "1"]);
                (format!("percentile_disc({at}) WITHIN GROUP (ORDER BY {b}{way})"), any)
            }
            15 => {
                let word = self.random.pick(&["bit_and", "bit_or"]);
                (format!("{word}({})", self.leaf(scope, Int)), Int)
            }
            16 => (format!("max({})", self.expression(scope, Int, 1)), Int),
            17 => (format!("min({})", self.expression(scope, Date, 1)), Date),
            18..=20 => (format!("avg({a})"), Approx),
            21 => {
                let words = ["stddev", "stddev_pop", "stddev_samp", "variance", "var_pop", "var_samp"];
                // Of small numbers: the batch oracle squares them as doubles.
                let number = self.random.pick(&[Int, Num, Double]);
                (format!("{}({})", self.random.pick(&words), self.leaf(scope, number)), Approx)
            }
            22 | 23 => {
                let kind = self.random.pick(&[Int, Text, Bool, Date]);
                let (x, u) = (self.leaf(scope, kind), self.leaf(scope, any));
                (format!("array_agg({x} ORDER BY {u}, {x})"), Array)
            }
            24 => {
                let a = self.leaf(scope, Double);
                (format!("percentile_cont(0.4) WITHIN GROUP (ORDER BY {a})"), Approx)
            }
            25 => {
                let words = ["corr", "covar_pop", "regr_slope", "regr_count"];
                let (x, y) = (self.leaf(scope, Double), self.leaf(scope, Double));
                (format!("{}({x}, {y})", self.random.pick(&words)), Approx)
            }
            _ => ("count(*)".to_string(), Big),
        };
        match self.random.one_in(6) {
            true => (format!("{call} FILTER (WHERE {})", self.predicate(scope, 0)), kind),
            false => (call, kind),
        }
    }

    fn summed(&self, number: Kind) -> Kind {
        match number {
            Int => Big,
            Big => Num,
            other => other,
        }
    }

    pub fn grouped(&mut self, depth: usize, shown: bool) -> Select {
        let (from, scope) = self.from(depth, &[]);
        let filter = self.filter(&scope, depth);
        let mut kinds: Vec<Kind> = (0..self.random.below(4)).map(|_| self.random.pick(STORED)).collect();
        let mut list: Vec<String> = vec![];
        for kind in kinds.clone() {
            let mut key = self.leaf(&scope, kind);
            if !scope.columns.iter().any(|column| column.sql == key) {
                // A literal is a place of the list for PostgreSQL, so a key names a column.
                let columns: Vec<_> = scope.columns.iter().filter(|c| STORED.contains(&c.kind)).collect();
                let column = columns[self.random.below(columns.len())].clone();
                kinds[list.len()] = column.kind;
                key = column.sql;
            } else if self.random.one_in(4) && kind == Int {
                key = format!("({key} % 2)");
            }
            list.push(key);
        }
        let keys = list.clone();
        for _ in 0..1 + self.random.below(3) {
            let (sql, kind) = self.aggregate(&scope, shown);
            list.push(sql);
            kinds.push(kind);
        }
        if self.random.one_in(6) {
            list.push("CASE WHEN count(*) > 2 THEN 'many' ELSE 'few' END".into());
            kinds.push(Text);
        }
        let mut distinct = keys.clone();
        distinct.sort();
        distinct.dedup();
        let all = keys.join(", ");
        let by = match (keys.len(), self.random.below(8)) {
            (0, _) => String::new(),
            (1, 0) => format!(" GROUP BY ROLLUP ({all})"),
            (2.., 0) if distinct.len() == keys.len() => match self.random.below(3) {
                0 => format!(" GROUP BY ROLLUP ({all})"),
                1 => format!(" GROUP BY CUBE ({all})"),
                _ => format!(" GROUP BY GROUPING SETS (({all}), ({}), ())", keys[0]),
            },
            _ => format!(" GROUP BY {all}"),
        };
        let having = match self.random.below(5) {
            0 => {
                let (call, kind) = self.aggregate(&scope, false);
                format!(
                    " HAVING {call} {} {}",
                    self.random.pick(&["<", ">=", "<>"]),
                    kind.literal(&mut self.random)
                )
            }
            _ => String::new(),
        };
        Select { sql: format!("SELECT {} FROM {from}{filter}{by}{having}", Self::listed(&list)), kinds }
    }

    /// ORDER BY of all columns, some of them first.
    fn total_order(&mut self, scope: &Scope) -> String {
        let mut columns = scope.columns.clone();
        let first = self.random.below(columns.len());
        columns.rotate_left(first);
        let mut one = |sql: &str| {
            format!("{sql}{}", self.random.pick(&["", "", " DESC", " NULLS FIRST", " DESC NULLS LAST"]))
        };
        columns.iter().map(|column| one(&column.sql)).collect::<Vec<_>>().join(", ")
    }

    fn partition(&mut self, scope: &Scope) -> String {
        match self.random.below(4) {
            0 => String::new(),
            1 => format!(
                "PARTITION BY {}, {} ",
                self.random.pick(&scope.columns).sql,
                self.random.pick(&scope.columns).sql
            ),
            _ => format!("PARTITION BY {} ", self.random.pick(&scope.columns).sql),
        }
    }

    /// A window call, and its kind.
    fn window(&mut self, scope: &Scope, shown: bool, partition: &str, order: &str) -> (String, Kind) {
        let any = self.random.pick(STORED);
        let x = self.leaf(scope, any);
        let number = self.random.pick(NUMBERS);
        let n = self.leaf(scope, number);
        let rows = self.random.pick(&[
            "",
            " ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
            " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
            " ROWS 2 PRECEDING",
            " ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
            " ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING",
        ]);
        match self.random.below(14) {
            0 => (format!("row_number() OVER ({partition}ORDER BY {order})"), Big),
            1 | 2 => {
                let word = self.random.pick(&["rank()", "dense_rank()"]);
                let by = self.leaf(scope, any);
                let way = self.random.pick(&["", " DESC"]);
                (format!("{word} OVER ({partition}ORDER BY {by}{way})"), Big)
            }
            3 | 4 => {
                let word = self.random.pick(&["lag", "lead"]);
                let more = match self.random.below(3) {
                    0 => String::new(),
                    1 => ", 2".into(),
                    _ => format!(", 1, {}", any.literal(&mut self.random)),
                };
                (format!("{word}({x}{more}) OVER ({partition}ORDER BY {order})"), any)
            }
            5 | 6 => {
                let word = self.random.pick(&["first_value", "last_value"]);
                (format!("{word}({x}) OVER ({partition}ORDER BY {order}{rows})"), any)
            }
            7 => (format!("nth_value({x}, 2) OVER ({partition}ORDER BY {order}{rows})"), any),
            8 => (format!("ntile(3) OVER ({partition}ORDER BY {order})"), Int),
            9 => (format!("sum({n}) OVER ({partition}ORDER BY {order}{rows})"), self.summed(number)),
            10 => {
                let word = self.random.pick(&["min", "max", "count"]);
                let any = if any == Bool { Int } else { any };
                let x = self.leaf(scope, any);
                (
                    format!("{word}({x}) OVER ({partition}ORDER BY {order}{rows})"),
                    if word == "count" { Big } else { any },
                )
            }
            11 => {
                let (by, frame) = match self.random.below(4) {
                    0 => (self.leaf(scope, Int), "2 PRECEDING AND 1 FOLLOWING"),
                    1 => (self.leaf(scope, Stamp), "INTERVAL '10 minutes' PRECEDING AND CURRENT ROW"),
                    2 => (
                        self.leaf(scope, Date),
                        "INTERVAL '1 month' PRECEDING AND INTERVAL '1 day' FOLLOWING",
                    ),
                    _ => (self.leaf(scope, any), "UNBOUNDED PRECEDING AND CURRENT ROW"),
                };
                let frame = format!("{partition}ORDER BY {by} RANGE BETWEEN {frame}");
                match self.random.one_in(2) {
                    true => (format!("sum({n}) OVER ({frame})"), self.summed(number)),
                    false => (format!("count(*) OVER ({frame})"), Big),
                }
            }
            12 if shown => (format!("avg({n}) OVER ({partition}ORDER BY {order}{rows})"), Approx),
            12 | 13 => (format!("sum({n}) OVER ({})", partition.trim_end()), self.summed(number)),
            _ => unreachable!("fourteen choices"),
        }
    }

    pub fn windowed(&mut self, depth: usize, shown: bool) -> Select {
        let (from, scope) = self.from(depth, &[]);
        let filter = self.filter(&scope, depth);
        let mut kinds = self.kinds();
        let mut list: Vec<String> = kinds.iter().map(|kind| self.leaf(&scope, *kind)).collect();
        // One order for all calls: rows that are equal in every column stand in one place for all of them.
        let (partition, order) = (self.partition(&scope), self.total_order(&scope));
        for _ in 0..1 + self.random.below(2) {
            let (sql, kind) = self.window(&scope, shown, &partition, &order);
            list.push(sql);
            kinds.push(kind);
        }
        Select { sql: format!("SELECT {} FROM {from}{filter}", Self::listed(&list)), kinds }
    }

    /// The first rows of each group.
    pub fn ranked(&mut self, depth: usize) -> Select {
        let (from, scope) = self.from(depth, &[]);
        let filter = self.filter(&scope, depth);
        let kinds = self.kinds();
        let list: Vec<String> = kinds.iter().map(|kind| self.leaf(&scope, *kind)).collect();
        let word = self.random.pick(&["row_number()", "rank()", "dense_rank()"]);
        let over = format!("{}ORDER BY {}", self.partition(&scope), self.total_order(&scope));
        let names: Vec<String> = (0..kinds.len()).map(|i| format!("c{i}")).collect();
        let sql = format!(
            "SELECT {} FROM (SELECT {}, {word} OVER ({over}) AS n FROM {from}{filter}) AS {} WHERE n <= {}",
            names.join(", "),
            Self::listed(&list),
            self.name("s"),
            1 + self.random.below(3)
        );
        Select { sql, kinds }
    }
}
