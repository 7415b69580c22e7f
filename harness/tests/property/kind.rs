//! Kinds of columns: their names in SQL, and literals of few distinct values.
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What all choices come from.
pub struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(ChaCha8Rng::seed_from_u64(seed))
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0.random_range(low..=high)
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Int,
    Big,
    Num,
    Text,
    Bool,
    Date,
    Stamp,
    Double,
    /// A number whose last digits depend on who computes it: shown, never compared or grouped.
    Approx,
    /// Shown only.
    Array,
    /// Shown only.
    Interval,
}

use Kind::*;

/// Kinds that tables have.
pub const STORED: &[Kind] = &[Int, Int, Big, Num, Text, Text, Bool, Date, Stamp, Double];
/// Kinds that sum and average.
pub const NUMBERS: &[Kind] = &[Int, Int, Big, Num, Double];

impl Kind {
    /// As CREATE TABLE and casts spell it.
    pub fn sql(self) -> &'static str {
        match self {
            Int => "int",
            Big => "bigint",
            Num => "numeric(12,2)",
            Text => "text",
            Bool => "boolean",
            Date => "date",
            Stamp => "timestamp",
            Double | Approx => "double precision",
            Array => "int[]",
            Interval => "interval",
        }
    }

    /// A literal, never NULL.
    pub fn literal(self, random: &mut Random) -> String {
        match self {
            Int => match random.between(-3, 6) {
                n if n < 0 => format!("({n})"),
                n => n.to_string(),
            },
            Big => format!("{}::bigint", random.pick(&["0", "1", "7", "100", "5000000000"])),
            Num => {
                let n = random.pick(&["0", "0.50", "1.25", "2.50", "3.00", "10.75", "99.99", "1.005"]);
                format!("{n}::numeric(12,2)")
            }
            Text => format!("'{}'::text", random.pick(&["", "a", "b", "ab", "B", "b c", "ä", "a%"])),
            Bool => random.pick(&["true", "false"]).into(),
            Date => {
                let day =
                    random.pick(&["2024-01-31", "2024-02-01", "2024-02-29", "2023-12-31", "2024-03-15"]);
                format!("DATE '{day}'")
            }
            Stamp => {
                let at = random.pick(&[
                    "2024-01-31 00:00:00",
                    "2024-02-01 10:30:00",
                    "2024-02-01 10:35:00",
                    "2024-02-29 23:59:59.5",
                    "2023-12-31 12:00:00",
                ]);
                format!("TIMESTAMP '{at}'")
            }
            Double | Approx => {
                let n = random.pick(&["0", "0.25", "-1.5", "2.5", "3.5", "100", "0.75"]);
                format!("({n})::double precision")
            }
            Array => "ARRAY[1, 2]".into(),
            Interval => format!("INTERVAL '{}'", random.pick(&["1 day", "2 hours", "1 month", "90 minutes"])),
        }
    }

    /// A literal for a row of a table: NULL now and then.
    pub fn value(self, random: &mut Random) -> String {
        if random.one_in(6) { "NULL".into() } else { self.literal(random) }
    }
}
