//! `EXCLUDE CURRENT ROW`, `GROUP` and `TIES` of a frame: the frame in pieces without these rows, and what the pieces give together.
use super::tokens::EXCLUDED;
use super::{expression, function_name};
use crate::DeclareError;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, OrderByExpr, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowSpec, WindowType,
};

/// What the frame of a call leaves out; none if it says nothing of the kind.
pub(super) fn mark(call: &Function) -> Option<String> {
    let Some(WindowType::WindowSpec(spec)) = &call.over else { return None };
    let Expr::Function(mark) = &spec.order_by.last()?.expr else { return None };
    match &mark.args {
        FunctionArguments::List(list) if function_name(&mark.name) == EXCLUDED => {
            list.args.first().map(|what| what.to_string().replace('\'', ""))
        }
        _ => None,
    }
}

/// Rewrites a call whose parts are rewritten.
pub(super) fn rewrite(expr: &mut Expr) -> Result<(), DeclareError> {
    let Expr::Function(call) = expr else { return Ok(()) };
    let (Some(what), Some(WindowType::WindowSpec(spec))) = (mark(call), &call.over) else { return Ok(()) };
    let order = &spec.order_by[..spec.order_by.len() - 1];
    let pieces = pieces(spec, order, &what).ok_or_else(|| {
        DeclareError::Unsupported(format!(
            "EXCLUDE {} is not maintained for this frame: write it for ROWS with CURRENT ROW, or for a frame that begins and ends at CURRENT ROW, UNBOUNDED or a number of GROUPS",
            what.to_uppercase()
        ))
    })?;
    let mut bare = call.clone();
    bare.over = None;
    let name = function_name(&call.name);
    let text = together(&name, &bare, &pieces).ok_or_else(|| {
        DeclareError::Unsupported(format!(
            "EXCLUDE {} is maintained for count, sum, avg, min, max, bool_and, bool_or and first_value, not for {bare}",
            what.to_uppercase()
        ))
    })?;
    *expr = expression(&text)?;
    Ok(())
}

/// The windows whose rows are those of the frame without what is left out, in order.
fn pieces(spec: &WindowSpec, order: &[OrderByExpr], what: &str) -> Option<Vec<String>> {
    use WindowFrameBound::{CurrentRow, Following, Preceding};
    use WindowFrameUnits::{Groups, Range, Rows};
    let WindowFrame { units, start_bound, end_bound } = spec.window_frame.as_ref()?;
    let end_bound = end_bound.as_ref().unwrap_or(&CurrentRow);
    let number = |bound: &WindowFrameBound| matches!(bound, Preceding(Some(_)) | Following(Some(_)));
    let starts = matches!(start_bound, Preceding(_) | CurrentRow);
    let ends = matches!(end_bound, CurrentRow | Following(_));
    let fits = match (units, what) {
        (Rows, "current") => true,
        (Rows | Range, _) => !order.is_empty() && !number(start_bound) && !number(end_bound),
        (Groups, _) => !order.is_empty(),
    };
    if spec.window_name.is_some() || !fits || !starts || !ends {
        return None;
    }
    let list = |exprs: Vec<String>| exprs.join(", ");
    let partition: Vec<String> = spec.partition_by.iter().map(Expr::to_string).collect();
    let keys: Vec<String> = order.iter().map(OrderByExpr::to_string).collect();
    let of = |partition: Vec<String>, keys: Vec<String>, frame: String| {
        let by =
            if partition.is_empty() { String::new() } else { format!("PARTITION BY {} ", list(partition)) };
        let keys = if keys.is_empty() { String::new() } else { format!("ORDER BY {} ", list(keys)) };
        format!("OVER ({by}{keys}{frame})")
    };
    let around = |frame: String| of(partition.clone(), keys.clone(), frame);
    let peers = |frame: &str| {
        let equal = order.iter().map(|by| by.expr.to_string());
        of(partition.iter().cloned().chain(equal).collect(), vec![], format!("ROWS BETWEEN {frame}"))
    };
    let unit = if (units, what) == (&Rows, "current") { "ROWS" } else { "GROUPS" };
    let mut pieces = vec![];
    if matches!(start_bound, Preceding(_)) {
        pieces.push(around(format!("{unit} BETWEEN {start_bound} AND 1 PRECEDING")));
    }
    match what {
        "current" if unit == "GROUPS" => {
            pieces.push(peers("UNBOUNDED PRECEDING AND 1 PRECEDING"));
            pieces.push(peers("1 FOLLOWING AND UNBOUNDED FOLLOWING"));
        }
        "ties" => pieces.push(around("ROWS BETWEEN CURRENT ROW AND CURRENT ROW".into())),
        _ => {}
    }
    if matches!(end_bound, Following(_)) {
        pieces.push(around(format!("{unit} BETWEEN 1 FOLLOWING AND {end_bound}")));
    }
    (!pieces.is_empty()).then_some(pieces)
}

/// What a function gives over all pieces.
fn together(name: &str, bare: &Function, pieces: &[String]) -> Option<String> {
    let FunctionArguments::List(list) = &bare.args else { return None };
    if list.duplicate_treatment.is_some() || bare.null_treatment.is_some() {
        return None;
    }
    let filter = bare.filter.as_ref().map_or(String::new(), |filter| format!(" FILTER (WHERE {filter})"));
    let argument = list.args.first().map(ToString::to_string);
    let each = |call: &str| pieces.iter().map(|over| format!("{call} {over}")).collect::<Vec<_>>();
    let counted = |what: &str| each(&format!("count({what}){filter}")).join(" + ");
    // What is left of two where one may be NULL.
    let either = |join: &str| {
        each(&bare.to_string()).into_iter().reduce(|all, next| {
            format!("CASE WHEN {all} IS NULL THEN {next} WHEN {next} IS NULL THEN {all} ELSE {all} {join} {next} END")
        })
    };
    Some(match (name, argument) {
        ("count", _) => format!("({})", each(&bare.to_string()).join(" + ")),
        ("sum", Some(_)) => format!("({})", either("+")?),
        ("bool_and" | "every", Some(_)) => format!("({})", either("AND")?),
        ("bool_or", Some(_)) => format!("({})", either("OR")?),
        ("min", Some(_)) => format!("least({})", each(&bare.to_string()).join(", ")),
        ("max", Some(_)) => format!("greatest({})", each(&bare.to_string()).join(", ")),
        ("avg", Some(value)) => {
            let mut sum = bare.clone();
            sum.name = datafusion::sql::sqlparser::ast::ObjectName::from(vec![
                datafusion::sql::sqlparser::ast::Ident::new("sum"),
            ]);
            let sum = together("sum", &sum, pieces)?;
            let count = counted(&value);
            format!("CASE WHEN {count} = 0 THEN NULL ELSE {sum} * 1.0 / ({count}) END")
        }
        ("first_value", Some(_)) if filter.is_empty() => {
            let values = pieces.iter().map(|over| format!("WHEN count(*) {over} > 0 THEN {bare} {over}"));
            format!("CASE {} END", values.collect::<Vec<_>>().join(" "))
        }
        _ => return None,
    })
}
