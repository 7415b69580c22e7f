//! Operators that DataFusion does not plan as PostgreSQL does.
use super::rewrite::{call, datetimes};
use super::{json, text as texts};
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr};
use datafusion::logical_expr::sqlparser::ast::BinaryOperator;
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, Operator, cast as cast_to, lit, when};

/// Plans `->`, `->>`, `#>`, `#>>`, `?`, `?|`, `?&`, `@>`, `<@`, `||` and `-` of json, `^`, `^@`, `&&`.
#[derive(Debug)]
pub(super) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = raw;
        // What has another type, or none, to DataFusion cannot wait for the rewrites.
        let operator = match op {
            BinaryOperator::Multiply => Some(Operator::Multiply),
            BinaryOperator::Divide => Some(Operator::Divide),
            BinaryOperator::Plus => Some(Operator::Plus),
            BinaryOperator::Minus => Some(Operator::Minus),
            _ => None,
        };
        let (left, right) = match &operator {
            Some(sign @ (Operator::Plus | Operator::Minus)) => (
                as_time(left.clone(), &right, *sign, true, schema),
                as_time(right, &left, *sign, false, schema),
            ),
            _ => (left, right),
        };
        if let (Some(operator), Ok(a), Ok(b)) = (operator, left.get_type(schema), right.get_type(schema))
            && let Some(found) = datetimes(&left, &a, operator, &right, &b)
        {
            return Ok(PlannerResult::Planned(found));
        }
        let (left, right) = match op {
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo => {
                let (left, right) =
                    (as_number(left.clone(), &right, schema), as_number(right, &left, schema));
                (narrowed(left.clone(), &right, schema), narrowed(right, &left, schema))
            }
            _ => (left, right),
        };
        let (left, right) = (as_list(left.clone(), &right, schema), as_list(right, &left, schema));
        let typed = |e: &Expr, of: fn(&DataType) -> bool| e.get_type(schema).is_ok_and(|t| of(&t));
        let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8);
        // Nothing else is subtracted from what is text here.
        let document = |e: &Expr| is_json(e) || !matches!(e, Expr::Literal(..)) && typed(e, text);
        let part = |e: &Expr| {
            typed(e, |t| t.is_integer() || t.is_null() || matches!(t, DataType::List(_))) || typed(e, text)
        };
        let list = |e: &Expr| e.get_type(schema).is_ok_and(|t| t.is_nested());
        let function = match op {
            BinaryOperator::Arrow => json::element(),
            BinaryOperator::LongArrow => json::element_text(),
            BinaryOperator::HashArrow => json::path(),
            BinaryOperator::HashLongArrow => json::path_text(),
            BinaryOperator::AtQuestion => json::path_exists(),
            BinaryOperator::AtAt => json::path_matches(),
            BinaryOperator::Question => json::has_key(),
            BinaryOperator::QuestionPipe => json::has_any(),
            BinaryOperator::QuestionAnd => json::has_all(),
            BinaryOperator::AtArrow if !list(&left) && !list(&right) => json::contains(),
            BinaryOperator::ArrowAt if !list(&left) && !list(&right) => {
                return Ok(PlannerResult::Planned(call(json::contains(), vec![right, left])));
            }
            BinaryOperator::StringConcat if is_json(&left) || is_json(&right) => json::concat(),
            BinaryOperator::Minus if document(&left) && part(&right) => json::without(),
            BinaryOperator::HashMinus => json::without_path(),
            BinaryOperator::PGStartsWith => texts::starts_with(),
            BinaryOperator::PGOverlap if list(&left) => {
                let function = datafusion::functions_nested::array_has::array_has_any_udf();
                let overlap = ScalarFunction::new_udf(function, vec![left, right]);
                return Ok(PlannerResult::Planned(Expr::ScalarFunction(overlap)));
            }
            op => return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right })),
        };
        Ok(PlannerResult::Planned(call(function, vec![left, right])))
    }

    // A place before the first is none in PostgreSQL; DataFusion counts it from the end.
    fn plan_field_access(
        &self,
        raw: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { field_access, expr } = raw;
        let is_list = matches!(expr.get_type(schema), Ok(DataType::List(_)));
        let key = match field_access {
            GetFieldAccess::ListIndex { key } if is_list && !is_literal_list(&expr) => *key,
            field_access => return Ok(PlannerResult::Original(RawFieldAccessExpr { field_access, expr })),
        };
        let key = match &key {
            Expr::Literal(ScalarValue::Int64(Some(place)), _) if *place >= 0 => key,
            Expr::Literal(..) | Expr::Negative(_) => lit(0_i64),
            _ if key.get_type(schema).is_ok_and(|of| of.is_integer()) => {
                when(key.clone().lt(lit(1_i64)), lit(0_i64)).otherwise(key)?
            }
            _ => key,
        };
        let field_access = GetFieldAccess::ListIndex { key: Box::new(key) };
        Ok(PlannerResult::Original(RawFieldAccessExpr { field_access, expr }))
    }

    fn plan_substring(&self, arguments: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(call(texts::substring(), arguments)))
    }
}

/// Whether a list is written as DataFusion writes it, whose places may be counted from the end.
fn is_literal_list(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.name() == "make_array")
}

/// A number as PostgreSQL types it beside an int or a smallint: int where it fits, so that what does not fit int is an error.
fn narrowed(literal: Expr, beside: &Expr, schema: &DFSchema) -> Expr {
    let Expr::Literal(ScalarValue::Int64(Some(value)), metadata) = &literal else { return literal };
    let is_small = !matches!(beside, Expr::Literal(..))
        && matches!(beside.get_type(schema), Ok(DataType::Int32 | DataType::Int16));
    match i32::try_from(*value) {
        Ok(value) if is_small => Expr::Literal(ScalarValue::Int32(Some(value)), metadata.clone()),
        _ => literal,
    }
}

/// A text that is written beside a number: a number of that type, or as many digits as it has.
fn as_number(literal: Expr, beside: &Expr, schema: &DFSchema) -> Expr {
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = &literal else { return literal };
    match beside.get_type(schema) {
        Ok(number) if number.is_integer() || number.is_floating() => cast_to(literal, number),
        Ok(DataType::Decimal128(..)) => {
            let text = text.trim();
            let (whole, after) = text.split_once('.').unwrap_or((text, ""));
            match i8::try_from(after.len()) {
                Ok(scale) if whole.len() + after.len() <= 38 => {
                    cast_to(literal, DataType::Decimal128(38, scale))
                }
                _ => literal,
            }
        }
        _ => literal,
    }
}

/// A text that is written beside a time: a time of its kind, where two such have a difference, else an interval.
fn as_time(literal: Expr, beside: &Expr, sign: Operator, is_left: bool, schema: &DFSchema) -> Expr {
    if !matches!(&literal, Expr::Literal(ScalarValue::Utf8(Some(_)), _)) {
        return literal;
    }
    let differs = sign == Operator::Minus;
    let interval = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
    let to = match beside.get_type(schema) {
        Ok(time @ DataType::Timestamp(..)) if differs => time,
        Ok(time @ (DataType::Date32 | DataType::Time64(_))) if differs => time,
        Ok(DataType::Timestamp(..)) if !is_left || !differs => interval,
        Ok(DataType::Interval(_)) => interval,
        _ => return literal,
    };
    cast_to(literal, to)
}

/// A text that is written beside an array: an array of that type.
fn as_list(literal: Expr, beside: &Expr, schema: &DFSchema) -> Expr {
    let text = matches!(&literal, Expr::Literal(ScalarValue::Utf8(Some(_)), _));
    match beside.get_type(schema) {
        Ok(list @ DataType::List(_)) if text => cast_to(literal, list),
        _ => literal,
    }
}

/// Whether an expression is json by how it was made, since json is text to DataFusion.
fn is_json(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_json(&alias.expr),
        Expr::ScalarFunction(function) => {
            let name = function.func.name();
            matches!(
                name,
                "json_element" | "json_path" | "json_concat" | "json_without" | "jsonb" | "to_jsonb"
            ) || name.starts_with("jsonb_")
                && !name.ends_with("_text")
                && !matches!(name, "jsonb_typeof" | "jsonb_pretty" | "jsonb_path_exists" | "jsonb_path_match")
        }
        _ => false,
    }
}

/// The same with the functions of json, which has no operators of its own.
pub(crate) fn holds_json(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => holds_json(&alias.expr),
        Expr::ScalarFunction(function) => {
            let name = function.func.name();
            is_json(expr)
                || matches!(
                    name,
                    "json" | "to_json" | "__json_row" | "json_build_object" | "json_build_array"
                )
        }
        _ => false,
    }
}
