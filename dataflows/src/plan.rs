//! `Plan`: what a dataflow can maintain. `queries` lowers SQL to it; `render` has one `match` over it.
mod clock;
mod describe;
mod recursive;
mod spelled;
pub mod window;

pub use clock::{CLOCK, clock_schema};
pub use recursive::{Binding, Limit, Rounds};
pub use spelled::spelled_out;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::PhysicalExpr;
use std::sync::Arc;

/// A scalar expression over the columns of its input.
pub type Expr = Arc<dyn PhysicalExpr>;

/// A relational plan over multisets of rows. Columns are known by their index in the input's schema.
#[derive(Clone, Debug)]
pub enum Plan {
    /// The rows of a declared table or materialized view.
    Get {
        /// Its name.
        name: Arc<str>,
        /// Its columns.
        schema: SchemaRef,
    },
    /// Rows that never change.
    Values {
        /// The rows.
        rows: RecordBatch,
    },
    /// Keeps the rows for which `filter` is true, then computes `project` (all columns if none): one fused operator.
    Map {
        /// Where the rows come from.
        input: Box<Plan>,
        /// A boolean expression; NULL is not true.
        filter: Option<Expr>,
        /// One expression a column of `schema`.
        project: Option<Vec<Expr>>,
        /// The columns that leave.
        schema: SchemaRef,
    },
    /// UNION ALL.
    Union {
        /// At least one; all with the types of `schema`.
        inputs: Vec<Plan>,
        /// The columns that leave.
        schema: SchemaRef,
    },
    /// The same rows with their multiplicities negated: `Union [a, Negate b]` is EXCEPT ALL where `b` is contained in `a`.
    Negate(Box<Plan>),
    /// Every row that is there, once.
    Distinct(Box<Plan>),
    /// Inner equi-join: the columns of `left`, then those of `right`.
    Join {
        /// Left input.
        left: Box<Plan>,
        /// Right input.
        right: Box<Plan>,
        /// Pairs of equal columns (left, right). Empty only where one side has a row at most.
        on: Vec<(usize, usize)>,
        /// Whether NULL equals NULL (set operations, IS NOT DISTINCT FROM).
        null_equal: bool,
        /// What else must be true of the joined row.
        filter: Option<Expr>,
        /// The columns that leave.
        schema: SchemaRef,
    },
    /// The rows of `left` that stand in `joined` at least once, with their multiplicities of `left`.
    Matched {
        /// The rows to keep or not.
        left: Box<Plan>,
        /// Rows of the same columns.
        joined: Box<Plan>,
    },
    /// An outer, semi, anti or mark join as one operator that holds each input once: what keeps plans of many joins small.
    Outer {
        /// Left input.
        left: Box<Plan>,
        /// Right input.
        right: Box<Plan>,
        /// Pairs of equal columns (left, right).
        on: Vec<(usize, usize)>,
        /// Whether NULL equals NULL.
        null_equal: bool,
        /// What else must be true of a pair, over the columns of `left`, then those of `right`.
        filter: Option<Expr>,
        /// Which rows leave.
        kind: Outer,
        /// The columns that leave.
        schema: SchemaRef,
    },
    /// EXCEPT ALL and INTERSECT ALL: how often a row stays is said by how often it is in either input.
    Bag {
        /// The rows to keep or not.
        left: Box<Plan>,
        /// Rows of the same types.
        right: Box<Plan>,
        /// Which of them stay.
        kept: Kept,
    },
    /// Every row of `left` with every row of `right`, while there are at most `pairs_max` pairs of different rows; beyond, a failure.
    Cross {
        /// Left input.
        left: Box<Plan>,
        /// Right input.
        right: Box<Plan>,
        /// How many pairs may be live.
        pairs_max: u64,
        /// The columns that leave.
        schema: SchemaRef,
    },
    /// GROUP BY: the group columns, then one column an aggregate. Without group columns: exactly one row, always.
    Aggregate {
        /// Where the rows come from.
        input: Box<Plan>,
        /// Columns of `input`.
        group: Vec<usize>,
        /// What to compute.
        aggregates: Vec<Aggregate>,
        /// The columns that leave.
        schema: SchemaRef,
    },
    /// The rows `offset .. offset + limit` of each partition in the given order; ties are broken by the remaining columns.
    TopK {
        /// Where the rows come from.
        input: Box<Plan>,
        /// PARTITION BY columns; none: one partition.
        partition: Vec<usize>,
        /// ORDER BY.
        order: Vec<Order>,
        /// Rows to skip.
        offset: usize,
        /// Rows to keep after those.
        limit: usize,
        /// Whether to append ROW_NUMBER() as a UInt64 column.
        number: bool,
        /// The columns that leave.
        schema: SchemaRef,
    },
    /// What a binding of the recursion around it holds, round by round. Only inside a `Recursive`.
    Local {
        /// The binding.
        name: Arc<str>,
        /// Its columns.
        schema: SchemaRef,
    },
    /// Relations defined by themselves and by each other: the rows of one of them when no round changes anything any more.
    Recursive {
        /// The relations, in the order in which a round computes them.
        bindings: Vec<Binding>,
        /// Which of them leaves.
        output: usize,
        /// When to stop.
        limit: Limit,
    },
    /// Window functions: the columns of `input`, then one a call.
    Window {
        /// Where the rows come from.
        input: Box<Plan>,
        /// PARTITION BY columns; none: one partition.
        partition: Vec<usize>,
        /// ORDER BY; rows that are equal in it are peers.
        order: Vec<Order>,
        /// The columns by which peers are told apart, ascending, NULLs last; then the remaining ones, in their order.
        ties: Vec<usize>,
        /// What to compute.
        calls: Vec<window::Call>,
        /// The columns that leave.
        schema: SchemaRef,
    },
    /// A row for each element of its lists, side by side; the shorter lists end in NULLs, the other columns are repeated. NULL is an
    /// empty list, and a row without elements leaves nothing.
    Flatten {
        /// Where the rows come from.
        input: Box<Plan>,
        /// Columns of type `List`, at least one.
        lists: Vec<usize>,
        /// The columns of `input`, elements in the place of lists.
        schema: SchemaRef,
    },
    /// A temporal filter: a row is there at the times t with `from <= t < until`, both milliseconds as Int64. NULL is never.
    Temporal {
        /// Where the rows come from.
        input: Box<Plan>,
        /// From the beginning, if none.
        from: Option<Expr>,
        /// For ever, if none.
        until: Option<Expr>,
    },
}

/// Which rows leave a [`Plan::Outer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outer {
    /// Pairs, and left rows without a partner with NULLs.
    Left,
    /// Pairs, and right rows without a partner with NULLs.
    Right,
    /// Pairs, and rows of either side without a partner with NULLs.
    Full,
    /// Left rows with a partner.
    Semi,
    /// Left rows without a partner.
    Anti,
    /// Left rows, and whether they have a partner.
    Mark,
}

impl Outer {
    /// Whether pairs leave, with the columns of both sides.
    pub fn gives_pairs(self) -> bool {
        matches!(self, Outer::Left | Outer::Right | Outer::Full)
    }

    /// Whether rows of the left (0) or the right (1) side leave by themselves.
    pub fn keeps(self, side: usize) -> bool {
        match self {
            Outer::Left | Outer::Semi | Outer::Anti | Outer::Mark => side == 0,
            Outer::Right => side == 1,
            Outer::Full => true,
        }
    }
}

/// What a [`Plan::Bag`] keeps of its left input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// As many as there are more of on the left (EXCEPT ALL).
    Difference,
    /// As many as there are on both sides (INTERSECT ALL).
    Intersection,
}

/// One aggregate of a GROUP BY.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// Which.
    pub function: Function,
    /// The input column it reads; none for `count(*)`.
    pub argument: Option<usize>,
    /// Whether each value of a group counts once.
    pub distinct: bool,
    /// A boolean input column: rows where it is not true do not count (FILTER).
    pub filter: Option<usize>,
    /// The type of its result.
    pub data_type: DataType,
}

/// The aggregate functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Function {
    /// Rows, or values that are not NULL.
    Count,
    /// NULL where there is no value.
    Sum,
    /// NULL where there is no value.
    Avg,
    /// The smallest value.
    Min,
    /// The greatest value.
    Max,
    /// Whether every value is true.
    Every,
    /// Whether any value is true.
    Any,
    /// The bits that all integers share.
    BitAnd,
    /// The bits that any integer has.
    BitOr,
    /// The bits that an odd number of integers have.
    BitXor,
    /// A statistic of the argument `y`, and of a column `x` where it has two; rows where one of them is NULL do not count.
    Moment(Moment, Option<usize>),
    /// What is computed from the rows of a group in an order. Its columns stand here; `Aggregate::argument` is none.
    Ordered(Arc<Ordered>),
}

/// The statistics that are made of sums of `x`, `y` and their products.
#[allow(missing_docs, reason = "the names are those of SQL")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    VarPop,
    VarSamp,
    StddevPop,
    StddevSamp,
    CovarPop,
    CovarSamp,
    Corr,
    RegrSlope,
    RegrIntercept,
    RegrCount,
    RegrR2,
    RegrAvgX,
    RegrAvgY,
    RegrSxx,
    RegrSyy,
    RegrSxy,
}

/// An aggregate function of DataFusion over the rows of a group, in an order: `array_agg`, `first_value`, `percentile_cont`, ..
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// Which.
    pub function: Arc<AggregateUDF>,
    /// What it reads, the first one a column.
    pub arguments: Vec<Argument>,
    /// ORDER BY, or WITHIN GROUP (ORDER BY ..). Rows that are equal in it are ordered by the arguments.
    pub order: Vec<Order>,
    /// IGNORE NULLS.
    pub ignore_nulls: bool,
}

/// An argument of an aggregate function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// An input column.
    Column(usize),
    /// The same value for all rows.
    Constant(ScalarValue),
}

impl Aggregate {
    /// The input columns it reads.
    pub fn columns(&self) -> Vec<usize> {
        let mut columns: Vec<usize> = self.argument.into_iter().chain(self.filter).collect();
        match &self.function {
            Function::Moment(_, x) => columns.extend(x),
            Function::Ordered(call) => columns.extend(call.columns()),
            _ => {}
        }
        columns
    }

    /// The same over columns that stand elsewhere.
    pub fn moved(&self, place: impl Fn(usize) -> usize) -> Aggregate {
        let function = match &self.function {
            Function::Moment(moment, x) => Function::Moment(*moment, x.map(&place)),
            Function::Ordered(call) => {
                let arguments = call.arguments.iter().map(|argument| match argument {
                    Argument::Column(column) => Argument::Column(place(*column)),
                    constant => constant.clone(),
                });
                let order = call.order.iter().map(|o| Order { column: place(o.column), ..*o });
                Function::Ordered(Arc::new(Ordered {
                    arguments: arguments.collect(),
                    order: order.collect(),
                    ..call.as_ref().clone()
                }))
            }
            other => other.clone(),
        };
        Aggregate {
            function,
            argument: self.argument.map(&place),
            filter: self.filter.map(&place),
            ..self.clone()
        }
    }

    fn describe(&self, schema: &SchemaRef) -> String {
        let name = |i: &usize| schema.field(*i).name().clone();
        let (function, arguments) = match &self.function {
            Function::Moment(moment, x) => {
                (format!("{moment:?}"), self.argument.iter().chain(x).map(name).collect())
            }
            Function::Ordered(call) => (call.function.name().to_string(), vec![call.describe(schema)]),
            other => (format!("{other:?}"), vec![self.argument.as_ref().map_or("*".into(), name)]),
        };
        let distinct = if self.distinct { "distinct " } else { "" };
        let filter = self.filter.as_ref().map_or(String::new(), |i| format!(" filter {}", name(i)));
        format!("{}({distinct}{}){filter}", function.to_lowercase(), arguments.join(", "))
    }
}

impl Ordered {
    fn columns(&self) -> impl Iterator<Item = usize> {
        let arguments = self.arguments.iter().filter_map(|argument| match argument {
            Argument::Column(column) => Some(*column),
            Argument::Constant(_) => None,
        });
        arguments.chain(self.order.iter().map(|o| o.column))
    }

    fn describe(&self, schema: &SchemaRef) -> String {
        let arguments = self.arguments.iter().map(|argument| match argument {
            Argument::Column(column) => schema.field(*column).name().clone(),
            Argument::Constant(value) => value.to_string(),
        });
        let mut text = arguments.collect::<Vec<_>>().join(", ");
        if !self.order.is_empty() {
            let order = self.order.iter().map(|o| o.describe(schema));
            text += &format!(" order [{}]", order.collect::<Vec<_>>().join(", "));
        }
        if self.ignore_nulls {
            text += " ignore nulls";
        }
        text
    }
}

/// One ORDER BY column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// An input column.
    pub column: usize,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
}

impl Order {
    fn describe(&self, schema: &SchemaRef) -> String {
        let down = if self.descending { " desc" } else { "" };
        let nulls = if self.nulls_first { " nulls first" } else { "" };
        format!("{}{down}{nulls}", schema.field(self.column).name())
    }
}

impl Plan {
    /// The columns that leave it.
    pub fn schema(&self) -> SchemaRef {
        match self {
            Plan::Get { schema, .. }
            | Plan::Map { schema, .. }
            | Plan::Union { schema, .. }
            | Plan::Join { schema, .. }
            | Plan::Cross { schema, .. }
            | Plan::Outer { schema, .. }
            | Plan::Aggregate { schema, .. }
            | Plan::TopK { schema, .. }
            | Plan::Flatten { schema, .. }
            | Plan::Local { schema, .. }
            | Plan::Window { schema, .. } => schema.clone(),
            Plan::Recursive { bindings, output, .. } => bindings[*output].schema.clone(),
            Plan::Values { rows } => rows.schema(),
            Plan::Negate(input)
            | Plan::Distinct(input)
            | Plan::Matched { left: input, .. }
            | Plan::Temporal { input, .. }
            | Plan::Bag { left: input, .. } => input.schema(),
        }
    }

    /// The plans it reads, left to right.
    pub fn inputs(&self) -> Vec<&Plan> {
        match self {
            Plan::Get { .. } | Plan::Values { .. } | Plan::Local { .. } => vec![],
            Plan::Recursive { bindings, .. } => bindings.iter().flat_map(Binding::inputs).collect(),
            Plan::Map { input, .. }
            | Plan::Negate(input)
            | Plan::Distinct(input)
            | Plan::Aggregate { input, .. }
            | Plan::TopK { input, .. }
            | Plan::Flatten { input, .. }
            | Plan::Temporal { input, .. }
            | Plan::Window { input, .. } => vec![input],
            Plan::Union { inputs, .. } => inputs.iter().collect(),
            Plan::Join { left, right, .. }
            | Plan::Outer { left, right, .. }
            | Plan::Bag { left, right, .. }
            | Plan::Cross { left, right, .. } => vec![left, right],
            Plan::Matched { left, joined } => vec![left, joined],
        }
    }

    /// The tables and views it reads, each once, by name.
    pub fn sources(&self) -> Vec<Arc<str>> {
        let mut names = std::collections::BTreeSet::new();
        let mut rest = vec![self];
        while let Some(plan) = rest.pop() {
            if let Plan::Get { name, .. } = plan {
                names.insert(name.clone());
            }
            rest.extend(plan.inputs());
        }
        names.into_iter().collect()
    }

    /// A text that two plans share only if they mean the same: what arrangements are shared by.
    pub fn fingerprint(&self) -> String {
        let mut text = describe::ordered(format!("{self:?}"));
        let mut rest = vec![self];
        while let Some(plan) = rest.pop() {
            if let Plan::Values { rows } = plan {
                // Long arrays are shortened in the text.
                text += &format!(" {:x}", crate::state::digest(rows));
            }
            rest.extend(plan.inputs());
        }
        text
    }
}
