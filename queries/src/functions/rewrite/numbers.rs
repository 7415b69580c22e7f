//! Types that stand beside each other: a decimal beside a float is a float, as in PostgreSQL. DataFusion makes both decimals, among which
//! there is no NaN, no infinity and no large number. Times of different units are made equal, which DataFusion leaves alone.
use super::{is_decimal, is_float};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{Between, Case, InList, ScalarFunction};
use datafusion::logical_expr::type_coercion::other::get_coerce_type_for_case_expression;
use datafusion::logical_expr::{Expr, ExprSchemable, cast as cast_to};

/// Functions whose arguments have one type, which is the result's.
const CHOICES: [&str; 7] = ["coalesce", "nvl", "ifnull", "nullif", "greatest", "least", "make_array"];

/// The expression with its parts of one type, if they are not.
pub(super) fn equalized(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    let common = |parts: &[&Expr]| {
        let types: Vec<DataType> =
            parts.iter().map(|part| part.get_type(schema).ok()).collect::<Option<_>>()?;
        common(&types)
    };
    let fitted = |part: &Expr, to: &DataType| match part.get_type(schema) {
        Ok(have) if have != *to && !have.is_null() => cast_to(part.clone(), to.clone()),
        _ => part.clone(),
    };
    match expr {
        Expr::InList(InList { expr, list, negated }) => {
            let parts: Vec<&Expr> = std::iter::once(expr.as_ref()).chain(list).collect();
            let to = common(&parts)?;
            let list = list.iter().map(|part| fitted(part, &to)).collect();
            Some(Expr::InList(InList { expr: Box::new(fitted(expr, &to)), list, negated: *negated }))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let to = common(&[expr, low, high])?;
            let part = |part: &Expr| Box::new(fitted(part, &to));
            Some(Expr::Between(Between::new(part(expr), *negated, part(low), part(high))))
        }
        Expr::Case(case) => {
            let results: Vec<&Expr> = case
                .when_then_expr
                .iter()
                .map(|(_, then)| then.as_ref())
                .chain(case.else_expr.as_deref())
                .collect();
            let result = common(&results).or_else(|| decimal(&results, schema));
            let compared: Vec<&Expr> = case
                .expr
                .as_deref()
                .into_iter()
                .chain(case.when_then_expr.iter().map(|(when, _)| when.as_ref()))
                .collect();
            let subject = case.expr.as_ref().and_then(|_| common(&compared));
            if result.is_none() && subject.is_none() {
                return None;
            }
            let part = |part: &Expr, to: &Option<DataType>| {
                Box::new(to.as_ref().map_or_else(|| part.clone(), |to| fitted(part, to)))
            };
            Some(Expr::Case(Case {
                expr: case.expr.as_ref().map(|expr| part(expr, &subject)),
                when_then_expr: case
                    .when_then_expr
                    .iter()
                    .map(|(when, then)| (part(when, &subject), part(then, &result)))
                    .collect(),
                else_expr: case.else_expr.as_ref().map(|expr| part(expr, &result)),
            }))
        }
        Expr::ScalarFunction(function) if CHOICES.contains(&function.func.name()) => {
            let to = common(&function.args.iter().collect::<Vec<_>>())?;
            let arguments = function.args.iter().map(|part| fitted(part, &to)).collect();
            Some(Expr::ScalarFunction(ScalarFunction::new_udf(function.func.clone(), arguments)))
        }
        _ => None,
    }
}

/// The decimal that branches of several types have in common. DataFusion finds it only after all operators have been looked at, and
/// until then takes a CASE for what its first branch is.
fn decimal(parts: &[&Expr], schema: &DFSchema) -> Option<DataType> {
    let types: Vec<DataType> = parts.iter().map(|part| part.get_type(schema).ok()).collect::<Option<_>>()?;
    let numbers = types.iter().all(|t| t.is_numeric() || t.is_null());
    match numbers && types.iter().any(is_decimal) && types.iter().any(|t| *t != types[0]) {
        true => get_coerce_type_for_case_expression(&types, None),
        false => None,
    }
}

/// The type of all, where DataFusion has another or none.
pub(crate) fn common(types: &[DataType]) -> Option<DataType> {
    let numbers = types.iter().all(|t| t.is_numeric() || t.is_null());
    if numbers && types.iter().any(is_float) && types.iter().any(is_decimal) {
        return Some(DataType::Float64);
    }
    let time = |t: &DataType| matches!(t, DataType::Time32(_) | DataType::Time64(_));
    let first = types.iter().find(|t| time(t))?;
    let times = types.iter().all(|t| time(t) || t.is_null());
    (times && types.iter().any(|t| time(t) && t != first)).then_some(DataType::Time64(TimeUnit::Nanosecond))
}

/// A number that is cast to NUMERIC without a precision: it keeps the digits it has.
pub(super) fn as_numeric(expr: &Expr, from: &DataType) -> Option<Expr> {
    let whole = |digits| Some(cast_to(expr.clone(), DataType::Decimal128(digits, 0)));
    match (expr, from) {
        (_, DataType::Int8 | DataType::Int16 | DataType::Int32) => whole(10),
        (_, DataType::Int64) => whole(20),
        (_, DataType::Decimal128(..)) => Some(expr.clone()),
        (Expr::Literal(ScalarValue::Utf8(Some(text)), _), _) => {
            let text = text.trim();
            let (before, after) = text.split_once('.').unwrap_or((text, ""));
            let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
            let before = before.strip_prefix(['-', '+']).unwrap_or(before);
            let fits = before.len() + after.len() <= 38 && digits(before) && digits(after);
            let scale = i8::try_from(after.len()).ok().filter(|_| fits && text.len() > after.len() + 1)?;
            let read = super::super::cast::function(from, &DataType::Decimal128(38, scale))?;
            Some(super::call(read, vec![expr.clone()]))
        }
        _ => None,
    }
}
