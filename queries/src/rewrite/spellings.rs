//! Expressions of PostgreSQL that mean what others say: OVERLAPS, COLLATE, BETWEEN SYMMETRIC, `num_nulls`, `date(x)`, and numbers of columns in ROLLUP.
use super::{expression, function_name, plain_arguments};
use crate::DeclareError;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CeilFloorKind, DateTimeField, Expr, GroupByExpr, Ident, Select, SelectItem,
    UnaryOperator, Value, ValueWithSpan,
};

/// Rewrites an expression whose parts are rewritten.
pub(super) fn rewrite(expr: &mut Expr) -> Result<(), DeclareError> {
    let text = match expr {
        Expr::Function(call) => {
            let Some(list) = plain_arguments(call) else { return Ok(()) };
            match (function_name(&call.name).as_str(), list.as_slice()) {
                ("num_nulls", [_, ..]) => counted(&list, "1", "0"),
                ("num_nonnulls", [_, ..]) => counted(&list, "0", "1"),
                // Each of them is written twice, so that their size would double with their depth.
                ("coalesce", [_, ..]) if list.iter().any(|part| coalesced(part).is_some()) => {
                    let parts = list.iter().flat_map(|p| coalesced(p).unwrap_or_else(|| vec![p.clone()]));
                    format!("COALESCE({})", parts.map(|part| part.to_string()).collect::<Vec<_>>().join(", "))
                }
                ("date", [value]) => format!("CAST({value} AS DATE)"),
                ("approx_count_distinct", [value]) => format!("count(DISTINCT {value})"),
                ("array_to_json" | "row_to_json", [value]) => format!("to_json({value})"),
                ("encode", [value, format]) => {
                    // PostgreSQL encodes bytes, and reads a text without a type as such.
                    let bytes = match text_of(value) {
                        Some(_) => format!("CAST({value} AS BYTEA)"),
                        None => value.to_string(),
                    };
                    match text_of(format).map(str::to_lowercase).as_deref() {
                        // It breaks the line after 76 characters.
                        Some("base64") => {
                            format!("regexp_replace(encode({bytes}, 'base64pad'), '(.{{76}})', '\\1\n', 'g')")
                        }
                        _ if bytes != value.to_string() => format!("encode({bytes}, {format})"),
                        _ => return Ok(()),
                    }
                }
                ("make_timestamptz", [year, month, day, hour, minute, second, zone]) => format!(
                    "timezone({zone}, make_timestamp({year}, {month}, {day}, {hour}, {minute}, {second}))"
                ),
                ("array_remove", [list, Expr::Value(value)]) if value.value == Value::Null => {
                    return Err(DeclareError::Unsupported(format!(
                        "array_remove(.., NULL) is not supported: write ARRAY(SELECT x FROM unnest({list}) AS u (x) WHERE x IS NOT NULL)"
                    )));
                }
                _ => return Ok(()),
            }
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => match found(left, right) {
            Some(text) => text,
            None => return Ok(()),
        },
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => match found(left, right) {
            Some(text) => format!("(NOT {text})"),
            None => return Ok(()),
        },
        Expr::BinaryOp { .. } | Expr::IsNull(_) | Expr::IsNotNull(_)
            if super::rows::meaning(expr).is_some() =>
        {
            super::rows::meaning(expr).unwrap_or_default()
        }
        Expr::Collate { expr: inner, collation } => {
            let name = collation.to_string().replace('"', "").to_lowercase();
            if !matches!(name.as_str(), "c" | "posix" | "ucs_basic" | "default" | "pg_catalog.default") {
                return Err(DeclareError::Unsupported(format!(
                    "COLLATE {collation} is not maintained: text is ordered by its bytes, as COLLATE \"C\" says"
                )));
            }
            format!("({inner})")
        }
        Expr::Between { expr: value, negated, low, high } => {
            let Some(low) = symmetric(low) else { return Ok(()) };
            let not = if *negated { "NOT " } else { "" };
            format!("{not}({value} BETWEEN {low} AND {high} OR {value} BETWEEN {high} AND {low})")
        }
        Expr::Like { negated, any, expr: value, pattern, escape_char } => {
            match several("LIKE", *negated, *any, value, pattern, escape_char.as_ref()) {
                Some(text) => text,
                None => return Ok(()),
            }
        }
        Expr::ILike { negated, any, expr: value, pattern, escape_char } => {
            match several("ILIKE", *negated, *any, value, pattern, escape_char.as_ref()) {
                Some(text) => text,
                None => return Ok(()),
            }
        }
        Expr::Extract { field: DateTimeField::Custom(unit), expr: time, .. }
            if unit.quote_style.is_some() =>
        {
            format!("extract({} FROM {time})", unit.value)
        }
        Expr::Floor { expr: time, field: CeilFloorKind::DateTimeField(unit) }
            if *unit != DateTimeField::NoDateTime =>
        {
            format!("date_trunc('{}', {time})", unit.to_string().to_lowercase())
        }
        Expr::Ceil { expr: time, field: CeilFloorKind::DateTimeField(unit) }
            if *unit != DateTimeField::NoDateTime =>
        {
            let unit = unit.to_string().to_lowercase();
            let floor = format!("date_trunc('{unit}', {time})");
            format!("CASE WHEN {floor} = {time} THEN {floor} ELSE {floor} + INTERVAL '1 {unit}' END")
        }
        Expr::BinaryOp { left, op: BinaryOperator::Overlaps, right } => match (left.as_ref(), right.as_ref())
        {
            (Expr::Tuple(a), Expr::Tuple(b)) => match (a.as_slice(), b.as_slice()) {
                ([a, b], [c, d]) => overlap((a, b), (c, d)),
                _ => return Ok(()),
            },
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    *expr = expression(&text)?;
    Ok(())
}

/// `x = ANY (list)`, which is NULL where only a NULL of the list could be it; none of a list of constants, which holds none.
fn found(value: &Expr, list: &Expr) -> Option<String> {
    let plain = |expr: &Expr| matches!(expr, Expr::Value(value) if value.value != Value::Null);
    let inner = match list {
        Expr::Nested(inner) => inner.as_ref(),
        list => list,
    };
    match inner {
        Expr::Subquery(_) | Expr::Value(_) | Expr::Tuple(_) => return None,
        Expr::Array(list) if list.elem.iter().all(plain) => return None,
        _ => {}
    }
    Some(format!(
        "CASE WHEN array_has({inner}, {value}) THEN true WHEN ({inner}) IS NULL THEN NULL WHEN cardinality({inner}) = 0 THEN false \
         WHEN ({value}) IS NULL OR array_position({inner}, NULL) IS NOT NULL THEN NULL ELSE false END"
    ))
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// The arguments of a COALESCE.
fn coalesced(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Function(call) if function_name(&call.name) == "coalesce" => plain_arguments(call),
        _ => None,
    }
}

/// `x LIKE ANY (a, b)` and `x LIKE ALL (ARRAY[a, b])`, with a comparison for each pattern.
fn several(
    like: &str,
    negated: bool,
    any: bool,
    value: &Expr,
    pattern: &Expr,
    escape: Option<&ValueWithSpan>,
) -> Option<String> {
    let list = match (any, pattern) {
        (true, list) => vec![list.clone()],
        (false, Expr::Function(call)) if function_name(&call.name) == "all" => plain_arguments(call)?,
        _ => return None,
    };
    let list = match list.as_slice() {
        [Expr::Array(list)] => list.elem.clone(),
        [Expr::Tuple(list)] => list.clone(),
        [Expr::Nested(one)] => match one.as_ref() {
            Expr::Array(list) => list.elem.clone(),
            one => vec![one.clone()],
        },
        list => list.to_vec(),
    };
    let (not, escape) =
        (if negated { "NOT " } else { "" }, escape.map_or(String::new(), |mark| format!(" ESCAPE {mark}")));
    let parts: Vec<String> =
        list.iter().map(|pattern| format!("({value}) {not}{like} ({pattern}){escape}")).collect();
    Some(format!("({})", parts.join(if any { " OR " } else { " AND " })))
}

/// The first end of BETWEEN SYMMETRIC, which a mark says; none of another BETWEEN.
fn symmetric(low: &Expr) -> Option<Expr> {
    let mut low = low.clone();
    let mut at = &mut low;
    loop {
        match at {
            Expr::UnaryOp { op: UnaryOperator::PGPrefixFactorial, expr } => {
                let inner = expr.as_ref().clone();
                *at = inner;
                return Some(low);
            }
            Expr::BinaryOp { left, .. } => at = left,
            Expr::Cast { expr, .. } => at = expr,
            _ => return None,
        }
    }
}

/// A column without a name has that of what is about to be rewritten.
pub(super) fn name(item: &mut SelectItem) {
    let SelectItem::UnnamedExpr(expr) = item else { return };
    let name = match expr {
        Expr::Function(call) if super::excluded::mark(call).is_some() || super::hypothetical::is(call) => {
            let alias = Ident::new(function_name(&call.name));
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            return;
        }
        Expr::Function(call) => function_name(&call.name),
        Expr::BinaryOp { op: BinaryOperator::Overlaps, .. } => "overlaps".into(),
        Expr::AnyOp { .. } | Expr::AllOp { .. } => {
            let alias = Ident::with_quote('"', "?column?");
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            return;
        }
        Expr::Floor { .. } => "floor".into(),
        Expr::Ceil { .. } => "ceil".into(),
        _ => return,
    };
    const RENAMED: [&str; 17] = [
        "ceil",
        "encode",
        "floor",
        "make_timestamptz",
        "to_jsonb",
        "approx_count_distinct",
        "num_nulls",
        "num_nonnulls",
        "date",
        "array_to_json",
        "overlaps",
        "array",
        "json_agg",
        "jsonb_agg",
        "json_object_agg",
        "jsonb_object_agg",
        "row_to_json",
    ];
    if RENAMED.contains(&name.as_str()) {
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::new(name) };
    }
}

fn counted(list: &[Expr], null: &str, there: &str) -> String {
    let part = |expr: &Expr| format!("CASE WHEN ({expr}) IS NULL THEN {null} ELSE {there} END");
    format!("({})", list.iter().map(part).collect::<Vec<_>>().join(" + "))
}

/// Two spans of time, each of two ends in any order, or of a start and a length.
fn overlap(first: (&Expr, &Expr), second: (&Expr, &Expr)) -> String {
    let ends = |(start, end): (&Expr, &Expr)| {
        let end = match end {
            Expr::Interval(_) => format!("(({start}) + {end})"),
            end => format!("({end})"),
        };
        let low = format!("CASE WHEN ({start}) IS NULL OR {end} < ({start}) THEN {end} ELSE ({start}) END");
        let high = format!(
            "CASE WHEN ({start}) IS NULL THEN NULL WHEN {end} < ({start}) THEN ({start}) ELSE {end} END"
        );
        (format!("({low})"), format!("({high})"))
    };
    let ((low_a, high_a), (low_b, high_b)) = (ends(first), ends(second));
    let open = format!("WHEN {high_a} IS NULL OR {high_b} IS NULL THEN NULL");
    format!(
        "CASE WHEN {low_a} > {low_b} THEN CASE WHEN {low_a} < {high_b} THEN true {open} ELSE false END \
         WHEN {low_a} < {low_b} THEN CASE WHEN {low_b} < {high_a} THEN true {open} ELSE false END \
         WHEN {low_a} = {low_b} THEN CASE {open} ELSE true END END"
    )
}

/// Numbers of columns inside ROLLUP, CUBE and GROUPING SETS, as the columns.
pub(super) fn numbered(select: &mut Select) {
    let GroupByExpr::Expressions(list, _) = &mut select.group_by else { return };
    let column = |expr: &Expr| {
        let Expr::Value(value) = expr else { return None };
        let Value::Number(number, _) = &value.value else { return None };
        let place = number.to_string().parse::<usize>().ok()?.checked_sub(1)?;
        match select.projection.get(place)? {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
            _ => None,
        }
    };
    for expr in list {
        if let Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) = expr {
            for part in sets.iter_mut().flatten() {
                if let Some(meant) = column(part) {
                    *part = meant;
                }
            }
        }
    }
}
