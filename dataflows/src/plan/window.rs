//! Window functions: what to compute for each row from the rows around it.
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::WindowFrame;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use std::sync::Arc;

/// One window function over the partitions and the order of its `Plan::Window`.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which.
    pub kind: Kind,
    /// The rows around each row that it reads: for `Nth` and `Aggregate`. Offsets of ROWS and GROUPS are UInt64, those of RANGE
    /// have the type of the ORDER BY column, or are intervals.
    pub frame: WindowFrame,
    /// The type of its result.
    pub data_type: DataType,
}

/// The window functions. Peers are rows that are equal in the ORDER BY columns.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The row's place, from 1.
    RowNumber,
    /// The place of its first peer.
    Rank,
    /// How many groups of peers there are up to its own.
    DenseRank,
    /// (rank - 1) / (rows - 1), 0 for a single row.
    PercentRank,
    /// The rows up to its last peer, divided by all.
    CumeDist,
    /// Its bucket, from 1, of so many that are as equal as can be.
    Ntile(u64),
    /// LAG, and with a negative offset LEAD.
    Shift {
        /// An input column.
        argument: usize,
        /// How many rows before.
        offset: i64,
        /// What to give where there is no such row.
        default: ScalarValue,
        /// Whether only rows count whose argument is not NULL.
        ignore_nulls: bool,
    },
    /// The nth row of the frame, from 1, or with a negative number from the end: FIRST_VALUE is 1, LAST_VALUE is -1.
    Nth {
        /// An input column.
        argument: usize,
        /// Which row; there is none at 0.
        nth: i64,
        /// Whether only rows count whose argument is not NULL.
        ignore_nulls: bool,
    },
    /// An aggregate of the frame. Its arguments are over the input's columns.
    Aggregate {
        /// Which.
        function: Arc<AggregateFunctionExpr>,
        /// A boolean input column: rows where it is not true do not count (FILTER).
        filter: Option<usize>,
    },
}

impl Call {
    /// As SQL, for EXPLAIN.
    pub(super) fn describe(&self, column: &dyn Fn(usize) -> String) -> String {
        let nulls = |ignore: &bool| if *ignore { " ignore nulls" } else { "" };
        match &self.kind {
            Kind::RowNumber => "row_number()".into(),
            Kind::Rank => "rank()".into(),
            Kind::DenseRank => "dense_rank()".into(),
            Kind::PercentRank => "percent_rank()".into(),
            Kind::CumeDist => "cume_dist()".into(),
            Kind::Ntile(buckets) => format!("ntile({buckets})"),
            Kind::Shift { argument, offset, ignore_nulls, .. } => {
                format!("lag({}, {offset}){}", column(*argument), nulls(ignore_nulls))
            }
            Kind::Nth { argument, nth, ignore_nulls } => {
                let (name, frame) = (column(*argument), &self.frame);
                format!("nth_value({name}, {nth}){} {frame}", nulls(ignore_nulls))
            }
            Kind::Aggregate { function, filter } => {
                let list = function.expressions().iter().map(|e| e.to_string()).collect::<Vec<_>>();
                let filter = filter.map_or(String::new(), |i| format!(" filter {}", column(i)));
                let distinct = if function.is_distinct() { "distinct " } else { "" };
                format!("{}({distinct}{}){filter} {}", function.fun().name(), list.join(", "), self.frame)
            }
        }
    }
}
