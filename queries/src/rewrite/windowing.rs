//! Windows in time as functions in FROM: the rows of a table with the start and the end of the windows that each is in.
//!
//! RisingWave writes `HOP(t, ts, slide, size)`, Flink `TABLE(HOP(TABLE t, DESCRIPTOR(ts), slide, size))`, which has `window_time` too.
//! Rows without a time are in no window.
use super::{expression, expression_of, function_name, query};
use crate::DeclareError;
use arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;
use datafusion::sql::sqlparser::ast::{ExceptSelectItem, FunctionArgExpr};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArguments, Ident, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor,
    Value, WildcardAdditionalOptions,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tumble,
    Hop,
    Cumulate,
    Session,
}

impl Kind {
    fn of(name: &str) -> Option<Kind> {
        Some(match name {
            "tumble" => Kind::Tumble,
            "hop" => Kind::Hop,
            "cumulate" => Kind::Cumulate,
            "session" => Kind::Session,
            _ => return None,
        })
    }

    /// How it is written, and how many lengths it has.
    fn form(self) -> (&'static str, usize) {
        match self {
            Kind::Tumble => ("TUMBLE(table, time, INTERVAL size [, INTERVAL offset])", 1),
            Kind::Hop => ("HOP(table, time, INTERVAL slide, INTERVAL size [, INTERVAL offset])", 2),
            Kind::Cumulate => ("CUMULATE(table, time, INTERVAL step, INTERVAL size [, INTERVAL offset])", 2),
            Kind::Session => ("SESSION(table, time, INTERVAL gap [, partition columns])", 1),
        }
    }
}

/// Rewrites a window function in FROM to a subquery.
pub(super) fn rewrite(factor: &mut TableFactor) -> Result<(), DeclareError> {
    let (name, arguments, alias, flink): (_, &[FunctionArg], _, _) = match &*factor {
        TableFactor::Table { name, args: Some(args), alias, .. } => (name, &args.args, alias, false),
        TableFactor::Function { name, args, alias, .. } => (name, args, alias, false),
        TableFactor::TableFunction { expr: Expr::Function(call), alias } => match &call.args {
            FunctionArguments::List(list) => (&call.name, &list.args, alias, true),
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    let Some(kind) = Kind::of(&function_name(name)) else { return Ok(()) };
    let call = Call::new(kind, arguments, flink)?;
    let alias = alias.clone().unwrap_or_else(|| call.alias());
    let subquery = Box::new(call.query()?);
    *factor = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
    Ok(())
}

struct Call {
    kind: Kind,
    /// What stands in FROM.
    input: Expr,
    time: Expr,
    /// Size, or slide and size.
    lengths: Vec<Expr>,
    offset: Option<Expr>,
    partition: Vec<Expr>,
    flink: bool,
}

impl Call {
    fn new(kind: Kind, arguments: &[FunctionArg], flink: bool) -> Result<Call, DeclareError> {
        let (form, lengths) = kind.form();
        let wrong = || DeclareError::Invalid(format!("a window in time is written as {form}"));
        let mut list = arguments.iter().map(|argument| positional(argument).ok_or_else(wrong));
        let mut next = || list.next().unwrap_or_else(|| Err(wrong()));
        let input = next()?;
        let mut rest = vec![];
        let mut partition = vec![];
        while let Ok(expr) = next() {
            match unwrapped(&expr, "__partition_by") {
                Some(columns) => partition = columns,
                None => rest.push(expr),
            }
        }
        let mut rest = rest.into_iter();
        let time = rest.next().ok_or_else(wrong)?;
        let time = match unwrapped(&time, "descriptor") {
            Some(columns) => columns.into_iter().next().ok_or_else(wrong)?,
            None => time,
        };
        let mut rest = rest.map(|expr| interval(&expr).unwrap_or(expr));
        let lengths: Vec<Expr> = rest.by_ref().take(lengths).collect();
        if lengths.len() < kind.form().1 {
            return Err(wrong());
        }
        let mut offset = None;
        for expr in rest {
            match kind {
                Kind::Session => partition.push(expr),
                _ if offset.is_none() => offset = Some(expr),
                _ => return Err(wrong()),
            }
        }
        let call = Call { kind, input, time, lengths, offset, partition, flink };
        call.check()?;
        Ok(call)
    }

    /// Lengths must be above nothing, and those of two windows must fit into each other where one is made of the other.
    fn check(&self) -> Result<(), DeclareError> {
        let lengths = self.lengths.iter().map(length).collect::<Result<Vec<_>, _>>()?;
        if let Some(offset) = &self.offset {
            length(offset)?;
        }
        let form = self.kind.form().0;
        for (found, written) in lengths.iter().zip(&self.lengths) {
            if found.months < 0 || found.nanoseconds < 0 || (found.months == 0 && found.nanoseconds == 0) {
                return Err(DeclareError::Invalid(format!("{written} is no length of a window, in {form}")));
            }
            if found.months > 0 && (self.kind != Kind::Tumble || found.nanoseconds > 0) {
                return Err(DeclareError::Unsupported(format!(
                    "{written} has months, which are of different lengths: write days, or TUMBLE with months alone"
                )));
            }
        }
        if let (Kind::Cumulate, [step, size]) = (self.kind, lengths.as_slice())
            && size.nanoseconds % step.nanoseconds != 0
        {
            return Err(DeclareError::Invalid(format!("the size must be a multiple of the step, in {form}")));
        }
        Ok(())
    }

    /// RisingWave's windows can be named like their table.
    fn alias(&self) -> TableAlias {
        let name = match &self.input {
            Expr::Identifier(name) => name.clone(),
            Expr::CompoundIdentifier(names) => names.last().cloned().unwrap_or_else(|| Ident::new("window")),
            _ => Ident::new("window"),
        };
        TableAlias { explicit: true, name, columns: vec![], at: None }
    }

    /// When the window of a given length that a time is in begins.
    fn bin(&self, length: &Expr, time: &str) -> String {
        match &self.offset {
            None => format!("date_bin({length}, {time})"),
            Some(offset) => format!("date_bin({length}, {time} - {offset}) + {offset}"),
        }
    }

    fn query(&self) -> Result<Query, DeclareError> {
        let Call { time, lengths, .. } = self;
        let text = time.to_string();
        let input = match &self.input {
            Expr::Identifier(name) => name.to_string(),
            Expr::CompoundIdentifier(_) => self.input.to_string(),
            Expr::Subquery(inner) => format!("({inner}) AS __input"),
            other => {
                return Err(DeclareError::Invalid(format!(
                    "a window in time is over a table, a view, or a subquery in parentheses, not over {other}"
                )));
            }
        };
        let from = format!("FROM {input} WHERE {time} IS NOT NULL");
        let last = |end: &str| match self.flink {
            true => format!(", {end} - INTERVAL '1 millisecond' AS window_time"),
            false => String::new(),
        };
        let (size, slide) = (&lengths[lengths.len() - 1], &lengths[0]);
        let bin = self.bin(slide, &text);
        match self.kind {
            Kind::Tumble => {
                let end = format!("{bin} + {size}");
                let time = last(&end);
                query(&format!("SELECT *, {bin} AS window_start, {end} AS window_end{time} {from}"))
            }
            Kind::Hop => {
                let first = self.bin(slide, &format!("({text} - {size})"));
                let list = format!("generate_series({first} + {slide}, {bin}, {slide})");
                let time = last(&format!("window_start + {size}"));
                query(&format!(
                    "SELECT *, window_start + {size} AS window_end{time} FROM (SELECT *, unnest({list}) AS window_start {from}) AS __windows"
                ))
            }
            Kind::Cumulate => {
                let start = self.bin(size, &text);
                let list = format!("generate_series({bin} + {slide}, {start} + {size}, {slide})");
                let time = last("window_end");
                let select = if time.is_empty() { String::new() } else { time };
                query(&format!(
                    "SELECT *{select} FROM (SELECT *, {start} AS window_start, unnest({list}) AS window_end {from}) AS __windows"
                ))
            }
            Kind::Session => self.sessions(&from),
        }
    }

    /// A row begins a session if it comes later than the gap after the row before it; the sum of beginnings numbers the sessions.
    fn sessions(&self, from: &str) -> Result<Query, DeclareError> {
        let (time, gap) = (&self.time, &self.lengths[0]);
        let columns: Vec<String> = self.partition.iter().map(Expr::to_string).collect();
        let by = match columns.as_slice() {
            [] => String::new(),
            list => format!("PARTITION BY {} ", list.join(", ")),
        };
        let all: Vec<String> = columns.iter().cloned().chain(["__session".to_string()]).collect();
        let session = format!("(PARTITION BY {})", all.join(", "));
        let last = match self.flink {
            true => {
                format!(", max({time}) OVER {session} + {gap} - INTERVAL '1 millisecond' AS window_time")
            }
            false => String::new(),
        };
        let mut query = query(&format!(
            "SELECT *, min({time}) OVER {session} AS window_start, max({time}) OVER {session} + {gap} AS window_end{last} \
             FROM (SELECT *, sum(__begins) OVER ({by}ORDER BY {time} RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS __session \
             FROM (SELECT *, CASE WHEN {time} <= lag({time}) OVER ({by}ORDER BY {time}) + {gap} THEN 0 ELSE 1 END AS __begins {from}) \
             AS __marked) AS __numbered"
        ))?;
        if let SetExpr::Select(select) = query.body.as_mut() {
            without(select, "__begins", "__session");
        }
        Ok(query)
    }
}

/// Takes two columns out of the `*` that a SELECT begins with.
fn without(select: &mut Select, first: &str, second: &str) {
    let except =
        ExceptSelectItem { first_element: Ident::new(first), additional_elements: vec![Ident::new(second)] };
    let options =
        WildcardAdditionalOptions { opt_except: Some(except), ..WildcardAdditionalOptions::default() };
    if let Some(item) = select.projection.first_mut() {
        *item = SelectItem::Wildcard(options);
    }
}

/// An argument by its place. Flink's names are in the order of the places.
fn positional(argument: &FunctionArg) -> Option<Expr> {
    match argument {
        FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
        | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. } => Some(expr.clone()),
        other => expression_of(other),
    }
}

/// The arguments of a call of `name`.
fn unwrapped(expr: &Expr, name: &str) -> Option<Vec<Expr>> {
    match expr {
        Expr::Function(call) if function_name(&call.name) == name => super::plain_arguments(call),
        _ => None,
    }
}

struct Length {
    months: i32,
    nanoseconds: i128,
}

/// What an interval says, in one of PostgreSQL's spellings.
/// A length that is written as a text alone.
fn interval(expr: &Expr) -> Option<Expr> {
    let Expr::Value(value) = expr else { return None };
    let Value::SingleQuotedString(text) = &value.value else { return None };
    expression(&format!("INTERVAL '{}'", text.trim().trim_start_matches('+').replace('\'', "''"))).ok()
}

fn length(expr: &Expr) -> Result<Length, DeclareError> {
    let unknown = || {
        DeclareError::Unsupported(format!(
            "{expr} is no constant length of a window: write it as INTERVAL '10' MINUTE or INTERVAL '10 minutes'"
        ))
    };
    let Expr::Interval(interval) = expr else { return Err(unknown()) };
    let text = match interval.value.as_ref() {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            Value::Number(number, _) => number.to_string(),
            _ => return Err(unknown()),
        },
        _ => return Err(unknown()),
    };
    let text = match &interval.leading_field {
        Some(unit) if interval.last_field.is_none() => format!("{text} {unit}"),
        Some(_) => return Err(unknown()),
        // A number alone counts seconds.
        None if text.trim().parse::<f64>().is_ok() => format!("{text} seconds"),
        None => text,
    };
    let found = parse_interval_month_day_nano(&text).map_err(|_| unknown())?;
    let days = i128::from(found.days) * 86_400_000_000_000;
    Ok(Length { months: found.months, nanoseconds: days + i128::from(found.nanoseconds) })
}
