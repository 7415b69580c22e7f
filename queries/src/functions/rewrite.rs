//! Expressions whose types are known, said with our functions where PostgreSQL answers differently than DataFusion.
//! It runs before types are made equal, so that what it puts in is typed like what was written.
mod numbers;
mod overflow;

pub(crate) use numbers::common as common_number;

use super::call::{TIMESTAMP, instant};
use super::operators::holds_json;
use super::{cast, datetime, exact, interval, json, numeric, sql_type, text};
use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{InList, Like, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, ScalarUDF, cast as cast_to};
use std::sync::Arc;

/// PostgreSQL's casts and operators.
#[derive(Debug)]
pub(super) struct PostgreSql;

impl FunctionRewrite for PostgreSql {
    fn name(&self) -> &str {
        "postgresql"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        // An expression over columns that are elsewhere (correlated) keeps DataFusion's meaning where its type is unknown.
        let new = match &expr {
            Expr::Cast(cast) => match cast.expr.get_type(schema) {
                Ok(from) => match cast.field.metadata().contains_key(sql_type::ANY_SCALE) {
                    true => numbers::as_numeric(&cast.expr, &from),
                    false => None,
                }
                .or_else(|| {
                    cast::function(&from, cast.field.data_type()).map(|f| call(f, vec![*cast.expr.clone()]))
                }),
                Err(_) => None,
            },
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                match (left.get_type(schema), right.get_type(schema)) {
                    (Ok(a), Ok(b)) => {
                        overflow::refuse(&expr, schema)?;
                        binary(left, &a, *op, right, &b)
                    }
                    _ => None,
                }
            }
            Expr::Between(between) => match between.expr.get_type(schema) {
                Ok(DataType::Interval(_)) => {
                    let side = |e: &Expr| call(interval::length(), vec![e.clone()]);
                    let mut new = between.clone();
                    new.expr = Box::new(side(&between.expr));
                    new.low = Box::new(side(&between.low));
                    new.high = Box::new(side(&between.high));
                    Some(Expr::Between(new))
                }
                _ => None,
            },
            Expr::InList(InList { expr: inner, list, negated }) => match inner.get_type(schema) {
                Ok(DataType::Interval(_)) => {
                    let side = |e: &Expr| call(interval::length(), vec![e.clone()]);
                    let list = list.iter().map(side).collect();
                    Some(Expr::InList(InList { expr: Box::new(side(inner)), list, negated: *negated }))
                }
                _ => None,
            },
            Expr::Negative(inner) => match inner.get_type(schema) {
                Ok(DataType::Interval(_)) => {
                    Some(call(interval::times(), vec![*inner.clone(), literal_float(-1.0)]))
                }
                Ok(of) if of.is_integer() && overflow::constant(inner).is_none() => {
                    let zero = Expr::Literal(ScalarValue::new_zero(&of)?, None);
                    Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(zero), Operator::Minus, inner.clone())))
                }
                Ok(of) if of.is_integer() => {
                    overflow::refuse(&expr, schema)?;
                    None
                }
                Ok(of) if is_float(&of) && !matches!(**inner, Expr::Literal(..)) => {
                    Some(call(numeric::float_negative(of), vec![*inner.clone()]))
                }
                _ => None,
            },
            Expr::Like(like) if like.escape_char.is_some_and(|c| c != '\\') => {
                let mut new = like.clone();
                let escape = new.escape_char.take().map(String::from);
                let escape = Expr::Literal(ScalarValue::Utf8(escape), None);
                new.pattern = Box::new(call(text::like_pattern(), vec![*like.pattern.clone(), escape]));
                Some(Expr::Like(new))
            }
            Expr::SimilarTo(Like { negated, expr, pattern, escape_char, .. }) => {
                let escape = escape_char.unwrap_or('\\').to_string();
                let escape = Expr::Literal(ScalarValue::Utf8(Some(escape)), None);
                let pattern = call(text::similar_pattern(), vec![*pattern.clone(), escape]);
                let op = if *negated { Operator::RegexNotMatch } else { Operator::RegexMatch };
                Some(Expr::BinaryExpr(BinaryExpr::new(expr.clone(), op, Box::new(pattern))))
            }
            Expr::ScalarFunction(function) => scalar(function, schema)?,
            _ => None,
        };
        let new = new.or_else(|| numbers::equalized(&expr, schema));
        Ok(new.map_or_else(|| Transformed::no(expr), Transformed::yes))
    }
}

pub(super) fn call(function: ScalarUDF, arguments: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), arguments))
}

fn literal_float(v: f64) -> Expr {
    Expr::Literal(ScalarValue::Float64(Some(v)), None)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_bytes(data_type: &DataType) -> bool {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
    matches!(data_type, Binary | BinaryView | LargeBinary | FixedSizeBinary(_))
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..))
}

fn binary(left: &Expr, a: &DataType, op: Operator, right: &Expr, b: &DataType) -> Option<Expr> {
    let both = || vec![left.clone(), right.clone()];
    let sides = |l: Expr, r: Expr| Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(l), op, Box::new(r))));
    if let Some(found) = datetimes(left, a, op, right, b) {
        return Some(found);
    }
    match op {
        Operator::Divide if is_float(a) && b.is_numeric() || is_float(b) && a.is_numeric() => {
            let quotient = call(numeric::float_quotient(), both());
            let single = |t: &DataType| *t == DataType::Float32 || t.is_null();
            Some(if single(a) && single(b) { cast_to(quotient, DataType::Float32) } else { quotient })
        }
        // A real beside a real is one, beside anything else a double.
        Operator::Plus | Operator::Minus | Operator::Multiply
            if *a == DataType::Float32 && b.is_numeric() && !is_float(b)
                || *b == DataType::Float32 && a.is_numeric() && !is_float(a) =>
        {
            let double = |side: &Expr| Box::new(cast_to(side.clone(), DataType::Float64));
            Some(Expr::BinaryExpr(BinaryExpr::new(double(left), op, double(right))))
        }
        Operator::Divide if is_decimal(a) || is_decimal(b) => {
            // A number as it is written is an int where it fits one.
            let digits = |side: &Expr, of: &DataType| match overflow::is_int(side) {
                true => Some((10, 0)),
                false => numeric::decimal(of),
            };
            Some(call(numeric::divided(digits(left, a)?, digits(right, b)?), both()))
        }
        Operator::Multiply if is_decimal(a) || is_decimal(b) => {
            let function = numeric::product(numeric::decimal(a)?, numeric::decimal(b)?)?;
            Some(call(function, both()))
        }
        _ if compares(op) && (is_float(a) && is_decimal(b) || is_decimal(a) && is_float(b)) => {
            let double = |e: &Expr| cast_to(e.clone(), DataType::Float64);
            sides(double(left), double(right))
        }
        Operator::StringConcat => {
            if is_bytes(a) && is_bytes(b) {
                return None;
            }
            let prints = |t: &DataType| !is_text(t) && !t.is_null() && !t.is_nested();
            if !prints(a) && !prints(b) {
                return None;
            }
            let side = |e: &Expr, t: &DataType| match prints(t) {
                true => call(cast::printer(), vec![e.clone()]),
                false => e.clone(),
            };
            sides(side(left, a), side(right, b))
        }
        _ => None,
    }
}

/// Whether it compares, NULL with NULL too.
fn compares(op: Operator) -> bool {
    orders(op) || matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
}

/// Whether it compares two values, and says NULL where one of them is.
pub(crate) fn orders(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// Dates, times and intervals under operators.
pub(super) fn datetimes(left: &Expr, a: &DataType, op: Operator, right: &Expr, b: &DataType) -> Option<Expr> {
    use DataType::*;
    let both = || vec![left.clone(), right.clone()];
    let swapped = || vec![right.clone(), left.clone()];
    let sum = matches!(op, Operator::Plus);
    let less = matches!(op, Operator::Minus);
    let compares = compares(op);
    let pair = |l: Expr, r: Expr| Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(l), op, Box::new(r))));
    match (a, b) {
        (Interval(_), Interval(_)) if compares => {
            let side = |e: &Expr| call(interval::length(), vec![e.clone()]);
            pair(side(left), side(right))
        }
        (Interval(_), t) if compares && is_text(t) => {
            let side = |e: &Expr| call(interval::length(), vec![e.clone()]);
            pair(side(left), side(right))
        }
        (Interval(_), Interval(_)) if sum => Some(call(interval::plus(), both())),
        (Interval(_), Interval(_)) if less => Some(call(interval::minus(), both())),
        (Interval(_), t) if op == Operator::Multiply && t.is_numeric() => {
            Some(call(interval::times(), both()))
        }
        (t, Interval(_)) if op == Operator::Multiply && t.is_numeric() => {
            Some(call(interval::times(), swapped()))
        }
        (Interval(_), t) if op == Operator::Divide && t.is_numeric() => Some(call(interval::over(), both())),
        (Date32 | Date64, Interval(_)) if sum || less => {
            pair(cast_to(left.clone(), TIMESTAMP), right.clone())
        }
        (Interval(_), Date32 | Date64) if sum => pair(cast_to(right.clone(), TIMESTAMP), left.clone()),
        (Interval(_), Timestamp(..)) if sum => pair(right.clone(), left.clone()),
        (Date32, Date32) if less => Some(call(datetime::days_between(), both())),
        (Date32, t) if (sum || less) && t.is_integer() => {
            let function = if sum { datetime::days_after() } else { datetime::days_before() };
            Some(call(function, both()))
        }
        (t, Date32) if sum && t.is_integer() => Some(call(datetime::days_after(), swapped())),
        (Date32, Time64(_) | Time32(_)) if sum => {
            let start = cast_to(left.clone(), TIMESTAMP);
            pair(start, call(interval::since_midnight(), vec![right.clone()]))
        }
        (Timestamp(_, None), Timestamp(_, None))
        | (Timestamp(_, None), Date32)
        | (Date32, Timestamp(_, None))
            if less =>
        {
            Some(call(interval::between(), both()))
        }
        (Timestamp(_, Some(_)), Timestamp(_, _)) | (Timestamp(_, None), Timestamp(_, Some(_))) if less => {
            let utc = |e: &Expr, t: &DataType| match t {
                Timestamp(_, Some(zone)) if zone.as_ref() != "UTC" => cast_to(e.clone(), instant()),
                _ => e.clone(),
            };
            let plain = |e: Expr| cast_to(e, TIMESTAMP);
            Some(call(interval::between(), vec![plain(utc(left, a)), plain(utc(right, b))]))
        }
        (Time64(_) | Time32(_), Interval(_)) if sum => Some(call(interval::time_plus(), both())),
        (Time64(_) | Time32(_), Interval(_)) if less => Some(call(interval::time_minus(), both())),
        (Time64(_) | Time32(_), Time64(_) | Time32(_)) if less => {
            Some(call(interval::times_between(), both()))
        }
        _ => None,
    }
}

fn value_is_text(column: &datafusion::common::Column, schema: &DFSchema) -> bool {
    Expr::Column(column.clone()).get_type(schema).is_ok_and(|t| is_text(&t))
}

fn is_replacement(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(function) if function.func.name() == text::REPLACEMENT)
}

/// Calls whose meaning depends on a literal or on the types of the arguments.
fn scalar(function: &ScalarFunction, schema: &DFSchema) -> Result<Option<Expr>> {
    let arguments = &function.args;
    Ok(match (function.func.name(), arguments.as_slice()) {
        ("date_part", [Expr::Literal(field, _), from]) => {
            let field = field.try_as_str().flatten().map(str::to_lowercase);
            match (field, from.get_type(schema)) {
                (Some(field), Ok(from_type)) => {
                    let text = Expr::Literal(ScalarValue::Utf8(Some(field.clone())), None);
                    let from = match from_type {
                        DataType::Timestamp(_, Some(_)) => {
                            cast_to(cast_to(from.clone(), instant()), TIMESTAMP)
                        }
                        _ => from.clone(),
                    };
                    Some(call(datetime::part(&field, &from_type), vec![text, from]))
                }
                _ => None,
            }
        }
        ("timezone", [zone, at]) => match at.get_type(schema) {
            Ok(at_type) => datetime::at_time_zone(zone, at, &at_type)?,
            Err(_) => None,
        },
        ("date_trunc", [unit, at, zone]) => {
            let Some(local) = datetime::at_time_zone(zone, at, &instant())? else { return Ok(None) };
            let cut = Expr::ScalarFunction(ScalarFunction::new_udf(
                function.func.clone(),
                vec![unit.clone(), local],
            ));
            datetime::at_time_zone(zone, &cut, &TIMESTAMP)?
        }
        // A number as it is written is an int where it fits one.
        ("to_hex", [number]) if overflow::is_int(number) => {
            let int = cast_to(number.clone(), DataType::Int32);
            Some(Expr::ScalarFunction(ScalarFunction::new_udf(function.func.clone(), vec![int])))
        }
        ("character_length" | "octet_length" | "bit_length", [bytes])
            if bytes.get_type(schema).is_ok_and(|of| is_bytes(&of)) =>
        {
            let factor = if function.func.name() == "bit_length" { 8 } else { 1 };
            Some(call(
                text::byte_length(),
                vec![bytes.clone(), Expr::Literal(ScalarValue::Int64(Some(factor)), None)],
            ))
        }
        ("array_remove", [_, _]) => {
            let all = datafusion::functions_nested::remove::array_remove_all_udf();
            Some(Expr::ScalarFunction(ScalarFunction::new_udf(all, arguments.clone())))
        }
        ("array_replace", [_, _, _]) => {
            let all = datafusion::functions_nested::replace::array_replace_all_udf();
            Some(Expr::ScalarFunction(ScalarFunction::new_udf(all, arguments.clone())))
        }
        ("regexp_replace", [_, _, by, ..]) if !is_replacement(by) => {
            let mut arguments = arguments.clone();
            arguments[2] = call(text::replacement(), vec![by.clone()]);
            Some(Expr::ScalarFunction(ScalarFunction::new_udf(function.func.clone(), arguments)))
        }
        ("abs", [number]) => match number.get_type(schema) {
            Ok(DataType::Int64) if overflow::is_int(number) => {
                let int = cast_to(number.clone(), DataType::Int32);
                Some(call(exact::integer_abs(DataType::Int32), vec![int]))
            }
            Ok(of) if of.is_integer() && !of.is_unsigned_integer() => {
                Some(call(exact::integer_abs(of), vec![number.clone()]))
            }
            _ => None,
        },
        ("ceil" | "floor" | "trunc", [number, places @ ..]) if places.len() < 2 => {
            let how = match function.func.name() {
                "ceil" => exact::Cut::Up,
                "floor" => exact::Cut::Down,
                _ => exact::Cut::ToZero,
            };
            let places = match places {
                [] => Some(0),
                [Expr::Literal(ScalarValue::Int64(Some(places)), _)] => Some(*places),
                [Expr::Negative(inner)] => match inner.as_ref() {
                    Expr::Literal(ScalarValue::Int64(Some(places)), _) => places.checked_neg(),
                    _ => None,
                },
                _ => None,
            };
            match (number.get_type(schema), places.and_then(|places| i8::try_from(places).ok())) {
                (Ok(DataType::Decimal128(digits, scale)), Some(places)) if (-37..=37).contains(&places) => {
                    let after = Expr::Literal(ScalarValue::Int64(Some(places.into())), None);
                    Some(call(exact::cut(how, (digits, scale), places), vec![number.clone(), after]))
                }
                _ => None,
            }
        }
        ("round", [number]) if number.get_type(schema).is_ok_and(|t| is_float(&t)) => {
            Some(call(numeric::round_even(), vec![number.clone()]))
        }
        ("round", [number, places @ ..]) if places.len() < 2 => match (number.get_type(schema), places) {
            (Ok(DataType::Decimal128(digits, scale)), []) => {
                Some(cast_to(number.clone(), numeric::rounded_type(digits, scale, 0)))
            }
            (
                Ok(DataType::Decimal128(digits, scale)),
                [Expr::Literal(ScalarValue::Int64(Some(after)), _)],
            ) => {
                let after = i8::try_from(*after).ok().filter(|after| (0..=37).contains(after));
                after.map(|after| cast_to(number.clone(), numeric::rounded_type(digits, scale, after)))
            }
            _ => None,
        },
        (json::VALUE, [value]) if holds_json(value) => Some(value.clone()),
        (json::VALUE, [Expr::Column(column)]) if value_is_text(column, schema) => {
            return plan_err!(
                "whether {0} is text or JSON is not known here: write to_jsonb({0}) for text, {0}::jsonb for JSON",
                column.name
            );
        }
        ("power", [base, exponent]) => {
            let (a, b) = (base.get_type(schema), exponent.get_type(schema));
            let plain = |t: &DataType| t.is_integer() || t.is_null();
            match (a, b) {
                (Ok(a), Ok(b))
                    if is_float(&a) && b.is_numeric()
                        || is_float(&b) && a.is_numeric()
                        || plain(&a) && plain(&b) =>
                {
                    Some(call(numeric::float_power(), arguments.clone()))
                }
                _ => None,
            }
        }
        ("concat" | "concat_ws", list) => {
            let prints = |e: &Expr| {
                e.get_type(schema)
                    .is_ok_and(|t| !is_text(&t) && !t.is_null() && !t.is_nested() && !t.is_integer())
            };
            if !list.iter().any(prints) {
                return Ok(None);
            }
            let list = list.iter().map(|e| match prints(e) {
                true => call(cast::cell_printer(), vec![e.clone()]),
                false => e.clone(),
            });
            Some(Expr::ScalarFunction(ScalarFunction::new_udf(function.func.clone(), list.collect())))
        }
        _ => None,
    })
}
