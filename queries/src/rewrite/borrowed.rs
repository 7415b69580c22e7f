//! Functions of Flink and of databases like it, where nothing here has their name: written with PostgreSQL's.
//!
//! They are tried when a query calls a function that there is not, so they take no name from anything.
use super::{expression, function_name, plain_arguments};
use crate::DeclareError;
use crate::walk;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Ident,
    ObjectName, Query, Value, VisitorMut,
};
use std::ops::ControlFlow;

/// Writes them out; whether there is any.
pub(crate) fn written(query: &mut Query) -> Result<bool, DeclareError> {
    let mut writer = Writer { found: false };
    match walk::write(query, &mut writer) {
        ControlFlow::Continue(()) => Ok(writer.found),
        ControlFlow::Break(why) => Err(why),
    }
}

struct Writer {
    found: bool,
}

impl VisitorMut for Writer {
    type Break = DeclareError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DeclareError> {
        let Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        match meaning(call) {
            Ok(Some(meaning)) => {
                *expr = meaning;
                self.found = true;
                ControlFlow::Continue(())
            }
            Ok(None) => ControlFlow::Continue(()),
            Err(why) => ControlFlow::Break(why),
        }
    }
}

/// What a call means; none where it is not one of these.
fn meaning(call: &Function) -> Result<Option<Expr>, DeclareError> {
    let name = function_name(&call.name);
    if name == "listagg" {
        return listagg(call).map(Some);
    }
    // A list is an array of one dimension.
    if name == "list_agg" {
        let mut call = call.clone();
        call.name = ObjectName::from(vec![Ident::new("array_agg")]);
        return Ok(Some(Expr::Function(call)));
    }
    let Some(list) = plain_arguments(call) else { return Ok(None) };
    let text = match (name.as_str(), list.as_slice()) {
        ("date_format", [time, format]) => format!("to_char({time}, {})", template(format)?),
        ("unix_timestamp", []) => seconds("now()"),
        ("unix_timestamp", [time]) => seconds(&format!("CAST({time} AS TIMESTAMP)")),
        ("unix_timestamp", [time, format]) => {
            seconds(&format!("to_timestamp({time}, {})", template(format)?))
        }
        ("to_timestamp_ltz", [number, digits]) => match digits.to_string().as_str() {
            "0" => format!("to_timestamp({number})"),
            "3" => format!("to_timestamp({number} / 1000.0)"),
            _ => return Ok(None),
        },
        ("mz_now" | "current_row_timestamp", []) => "now()".into(),
        ("timestampdiff", [unit, from, to]) => difference(unit, from, to)?,
        ("timestampadd", [unit, count, time]) => {
            format!("({time} + ({count}) * INTERVAL '1 {}')", word(unit)?)
        }
        ("year" | "quarter" | "month" | "week" | "hour" | "minute" | "second", [time]) => part(&name, time),
        ("day" | "dayofmonth", [time]) => part("day", time),
        ("dayofyear", [time]) => part("doy", time),
        ("dayofweek", [time]) => format!("({} + 1)", part("dow", time)),
        ("regexp", [text, pattern]) => format!("({text} ~ {pattern})"),
        ("regexp_extract", [text, pattern]) => group(text, pattern, &expression("0")?)?,
        ("regexp_extract", [text, pattern, number]) => group(text, pattern, number)?,
        ("split_index", [text, separator, place]) => {
            format!("(string_to_array({text}, {separator}))[{place} + 1]")
        }
        ("if", [condition, then, other]) => format!("CASE WHEN {condition} THEN {then} ELSE {other} END"),
        ("locate", [part, text]) => format!("strpos({text}, {part})"),
        ("element", [array]) => format!("({array})[1]"),
        ("truncate", [number, digits]) => format!("trunc({number}, {digits})"),
        ("json_value", [document, path]) => {
            let part = format!("(CAST({document} AS JSONB) #> {})", steps(path)?);
            format!(
                "CASE WHEN jsonb_typeof({part}) IN ('object', 'array') THEN NULL ELSE {part} #>> '{{}}' END"
            )
        }
        ("json_query", [document, path]) => {
            let part = format!("(CAST({document} AS JSONB) #> {})", steps(path)?);
            format!("CASE WHEN jsonb_typeof({part}) IN ('object', 'array') THEN CAST({part} AS TEXT) END")
        }
        ("json_exists", [document, path]) => {
            format!("((CAST({document} AS JSONB) #> {}) IS NOT NULL)", steps(path)?)
        }
        _ => return Ok(None),
    };
    expression(&text).map(Some)
}

/// `LISTAGG(x [, separator]) [WITHIN GROUP (ORDER BY ..)]`.
fn listagg(call: &Function) -> Result<Expr, DeclareError> {
    let mut call = call.clone();
    call.name = ObjectName::from(vec![Ident::new("string_agg")]);
    let order = std::mem::take(&mut call.within_group);
    if let FunctionArguments::List(list) = &mut call.args {
        if list.args.len() == 1 {
            list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(expression("','")?)));
        }
        if !order.is_empty() {
            list.clauses.push(FunctionArgumentClause::OrderBy(order));
        }
    }
    Ok(Expr::Function(call))
}

fn part(unit: &str, time: &Expr) -> String {
    format!("CAST(floor(extract({unit} FROM {time})) AS BIGINT)")
}

fn seconds(time: &str) -> String {
    format!("CAST(floor(extract(epoch FROM {time})) AS BIGINT)")
}

/// The whole units from one time to another, towards zero.
fn difference(unit: &Expr, from: &Expr, to: &Expr) -> Result<String, DeclareError> {
    let (from, to) = (format!("CAST({from} AS TIMESTAMP)"), format!("CAST({to} AS TIMESTAMP)"));
    let unit = word(unit)?;
    let seconds = match unit.as_str() {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        "week" => 604_800,
        "month" | "quarter" | "year" => {
            let months = format!(
                "(extract(year FROM age({to}, {from})) * 12 + extract(month FROM age({to}, {from})))"
            );
            let size = match unit.as_str() {
                "month" => 1,
                "quarter" => 3,
                _ => 12,
            };
            return Ok(format!("CAST(trunc({months} / {size}) AS BIGINT)"));
        }
        unit => {
            return Err(DeclareError::Unsupported(format!(
                "TIMESTAMPDIFF by {unit} is not supported: write extract(epoch FROM b - a)"
            )));
        }
    };
    Ok(format!("CAST(trunc(extract(epoch FROM {to} - {from}) / {seconds}) AS BIGINT)"))
}

/// A unit of time.
fn word(expr: &Expr) -> Result<String, DeclareError> {
    const UNITS: [&str; 8] = ["second", "minute", "hour", "day", "week", "month", "quarter", "year"];
    let text = match expr {
        Expr::Identifier(word) => word.value.to_lowercase(),
        other => other.to_string().to_lowercase(),
    };
    let unit = text.strip_prefix("sql_tsi_").unwrap_or(&text).to_string();
    match UNITS.contains(&unit.as_str()) {
        true => Ok(unit),
        false => {
            Err(DeclareError::Invalid(format!("{expr} is no unit of time: known are {}", UNITS.join(", "))))
        }
    }
}

/// A group of the first match; group 0 is all of it.
fn group(text: &Expr, pattern: &Expr, number: &Expr) -> Result<String, DeclareError> {
    match number.to_string().parse::<u32>() {
        Ok(number) => Ok(format!("(regexp_match({text}, '(' || {pattern} || ')'))[{}]", number + 1)),
        Err(_) => Err(DeclareError::Unsupported(format!(
            "regexp_extract(..) takes the number of a group, not {number}: write it as a number"
        ))),
    }
}

fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// A pattern of Java's `SimpleDateFormat` as a template of `to_char`.
fn template(format: &Expr) -> Result<String, DeclareError> {
    let refused = |what: &str| {
        Err(DeclareError::Unsupported(format!(
            "the date format {what} is not supported: write to_char(time, 'YYYY-MM-DD HH24:MI:SS') with PostgreSQL's templates"
        )))
    };
    let Some(text) = literal(format) else { return refused(&format.to_string()) };
    let mut chars = text.chars().peekable();
    let mut found = String::new();
    while let Some(c) = chars.next() {
        if c == '\'' {
            let inside: String = chars.by_ref().take_while(|c| *c != '\'').collect();
            let inside = if inside.is_empty() { "''".to_string() } else { inside.replace('"', "\\\"") };
            found.push_str(&format!("\"{inside}\""));
            continue;
        }
        if !c.is_ascii_alphabetic() {
            found.push(c);
            if c == '%' || c == '"' {
                return refused(text);
            }
            continue;
        }
        let mut count = 1;
        while chars.next_if_eq(&c).is_some() {
            count += 1;
        }
        found.push_str(match (c, count) {
            ('y' | 'u', 4) => "YYYY",
            ('y', 2) => "YY",
            ('M', 1) => "FMMM",
            ('M', 2) => "MM",
            ('M', 3) => "Mon",
            ('M', 4) => "FMMonth",
            ('d', 1) => "FMDD",
            ('d', 2) => "DD",
            ('D', 3) => "DDD",
            ('H', 1) => "FMHH24",
            ('H', 2) => "HH24",
            ('h', 1) => "FMHH12",
            ('h', 2) => "HH12",
            ('m', 1) => "FMMI",
            ('m', 2) => "MI",
            ('s', 1) => "FMSS",
            ('s', 2) => "SS",
            ('S', 3) => "MS",
            ('S', 6) => "US",
            ('a', 1) => "AM",
            ('E', 1..=3) => "Dy",
            ('E', 4) => "FMDay",
            _ => return refused(text),
        });
    }
    Ok(format!("'{}'", found.replace('\'', "''")))
}

/// `$.a.b[0]` as the text of an array of steps.
fn steps(path: &Expr) -> Result<String, DeclareError> {
    let refused = || {
        DeclareError::Unsupported(format!(
            "the path {path} is not supported: write document #> '{{a,b,0}}' with the steps of $.a.b[0]"
        ))
    };
    let text = literal(path).ok_or_else(refused)?.trim();
    let text = text.strip_prefix("lax ").unwrap_or(text).trim();
    let mut rest = text.strip_prefix('$').ok_or_else(refused)?;
    let mut steps = vec![];
    while !rest.is_empty() {
        let (step, after) = match rest.strip_prefix('.') {
            Some(after) => after.split_at(after.find(['.', '[']).unwrap_or(after.len())),
            None => {
                let after = rest.strip_prefix('[').ok_or_else(refused)?;
                let (step, after) = after.split_once(']').ok_or_else(refused)?;
                let quoted = step.strip_prefix('\'').and_then(|step| step.strip_suffix('\''));
                (quoted.or(step.parse::<u32>().is_ok().then_some(step)).ok_or_else(refused)?, after)
            }
        };
        let plain = |c: char| c.is_alphanumeric() || c == '_';
        if step.is_empty() || !step.chars().all(plain) {
            return Err(refused());
        }
        steps.push(step);
        rest = after;
    }
    Ok(format!("'{{{}}}'", steps.join(",")))
}
