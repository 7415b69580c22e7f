//! Forms of PostgreSQL that DataFusion's planner does not know, written as calls of functions it knows.
use crate::walk;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, CastKind, CharacterLength, DataType, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, Interval, ObjectName, TimezoneInfo,
    UnaryOperator, Value, VisitMut,
};
use std::ops::ControlFlow;

/// Rewrites every expression of a statement or a query.
pub fn rewrite<T: VisitMut>(node: &mut T) {
    let _: ControlFlow<()> = walk::expressions_mut(node, |expr| {
        if let Some(new) = rewritten(expr) {
            *expr = new;
        }
        ControlFlow::Continue(())
    });
}

/// The elements of `'{1,2}'`, each as it would be written alone.
fn written_list(expr: &Expr) -> Option<Vec<Expr>> {
    let Expr::Value(value) = expr else { return None };
    let Value::SingleQuotedString(text) = &value.value else { return None };
    let element = |text: Option<String>| match text {
        Some(text) => Value::SingleQuotedString(text),
        None => Value::Null,
    };
    Some(super::cast::split(text)?.into_iter().map(|text| Expr::value(element(text))).collect())
}

/// `expr [NOT] IN (list)`, where nothing is in an empty list.
fn among(expr: &mut Expr, list: Vec<Expr>, negated: bool) -> Option<Expr> {
    if list.is_empty() {
        return Some(Expr::value(Value::Boolean(negated)));
    }
    Some(Expr::InList { expr: Box::new(take(expr)), list, negated })
}

fn rewritten(expr: &mut Expr) -> Option<Expr> {
    match expr {
        Expr::AtTimeZone { timestamp, time_zone } => {
            Some(called("timezone", vec![take(time_zone), take(timestamp)]))
        }
        Expr::UnaryOp { op, expr } => {
            let name = match op {
                UnaryOperator::PGAbs => "abs",
                UnaryOperator::PGSquareRoot => "sqrt",
                UnaryOperator::PGCubeRoot => "cbrt",
                UnaryOperator::BitwiseNot => "bitwise_not",
                _ => return None,
            };
            Some(called(name, vec![take(expr)]))
        }
        Expr::BinaryOp { left, op: BinaryOperator::PGExp, right } => {
            Some(called("power", vec![take(left), take(right)]))
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
            among(left, written_list(right)?, false)
        }
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => {
            among(left, written_list(right)?, true)
        }
        // IS DISTINCT FROM binds tighter than AND and OR; the parser takes all that follows for its right side.
        Expr::IsDistinctFrom(left, right) => {
            tightened(left, right, &|l, r| Expr::IsDistinctFrom(Box::new(l), Box::new(r)))
        }
        Expr::IsNotDistinctFrom(left, right) => {
            tightened(left, right, &|l, r| Expr::IsNotDistinctFrom(Box::new(l), Box::new(r)))
        }
        Expr::Cast {
            kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, format: None, ..
        } => {
            if let Some(new) = written(expr, data_type) {
                return Some(new);
            }
            if let Some((plain, digits)) = precise(data_type) {
                let expr = Box::new(take(expr));
                let cast =
                    Expr::Cast { kind: CastKind::Cast, expr, data_type: plain, array: false, format: None };
                return Some(called("__rounded", vec![cast, number(digits)]));
            }
            let name = match data_type {
                DataType::JSON => "json",
                DataType::JSONB => "jsonb",
                DataType::Uuid => "uuid_in",
                DataType::Varchar(length)
                | DataType::CharacterVarying(length)
                | DataType::CharVarying(length)
                | DataType::Nvarchar(length) => {
                    let length = match length.as_ref()? {
                        CharacterLength::IntegerLength { length, .. } => *length,
                        CharacterLength::Max => return None,
                    };
                    return Some(called("__varchar", vec![cut(expr, length), number(length)]));
                }
                // Blanks at the end of a CHAR are no part of it, and are not kept.
                DataType::Char(length) | DataType::Character(length) => {
                    let length = match length {
                        None => 1,
                        Some(CharacterLength::IntegerLength { length, .. }) => *length,
                        Some(CharacterLength::Max) => return None,
                    };
                    let cut = called("rtrim", vec![cut(expr, length), string(" ")]);
                    return Some(called("__bpchar", vec![cut, number(length)]));
                }
                _ => return None,
            };
            Some(called(name, vec![take(expr)]))
        }
        // `jsonb '{"a": 1}'`.
        Expr::TypedString(typed) => {
            if let Some((plain, digits)) = precise(&typed.data_type) {
                let expr = Box::new(Expr::Value(typed.value.clone()));
                let cast =
                    Expr::Cast { kind: CastKind::Cast, expr, data_type: plain, array: false, format: None };
                return Some(called("__rounded", vec![cast, number(digits)]));
            }
            let name = match typed.data_type {
                DataType::JSON => "json",
                DataType::JSONB => "jsonb",
                DataType::Uuid => "uuid_in",
                _ => return None,
            };
            Some(called(name, vec![Expr::Value(typed.value.clone())]))
        }
        Expr::Function(function) => {
            positional(function);
            None
        }
        Expr::Interval(interval) => {
            plain(interval);
            None
        }
        _ => None,
    }
}

/// A type of times whose digits after the second are fewer than those that are kept, and how many: it is cast to the plain type, and rounded.
fn precise(to: &DataType) -> Option<(DataType, u64)> {
    match to {
        DataType::Time(Some(digits @ 0..=5), zone @ (TimezoneInfo::None | TimezoneInfo::WithoutTimeZone)) => {
            Some((DataType::Time(None, *zone), *digits))
        }
        // The other types have units of their own.
        DataType::Timestamp(Some(digits @ (1 | 2 | 4 | 5)), zone) => {
            Some((DataType::Timestamp(None, *zone), *digits))
        }
        _ => None,
    }
}

/// A literal that is cast: a number to a float by its digits, an array of arrays to its own type.
fn written(expr: &Expr, to: &DataType) -> Option<Expr> {
    let Expr::Value(value) = expr else { return None };
    let (text, data_type) = match (&value.value, to) {
        (
            Value::Number(number, _),
            DataType::Real
            | DataType::Float4
            | DataType::Float8
            | DataType::DoublePrecision
            | DataType::Double(_)
            | DataType::Float(_),
        ) => (number.to_string(), to.clone()),
        (Value::SingleQuotedString(text), DataType::Array(ArrayElemTypeDef::SquareBracket(of, size)))
            if !matches!(of.as_ref(), DataType::Array(_)) =>
        {
            let deeper = text.trim_start().bytes().filter(|b| *b != b' ').take_while(|b| *b == b'{').count();
            let list = |of| DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(of), *size));
            let all = (1..deeper).fold(to.clone(), |of, _| list(of));
            (text.clone(), (deeper > 1).then_some(all)?)
        }
        _ => return None,
    };
    let expr = Box::new(string(&text));
    Some(Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None })
}

/// `make_interval(days => 10)` with every argument in its place.
fn positional(function: &mut Function) {
    const NAMES: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
    let FunctionArguments::List(list) = &mut function.args else { return };
    let named = |arg: &FunctionArg| !matches!(arg, FunctionArg::Unnamed(_));
    if !function.name.to_string().eq_ignore_ascii_case("make_interval") || !list.args.iter().any(named) {
        return;
    }
    let zero = || FunctionArgExpr::Expr(Expr::Value(Value::Number("0".into(), false).into()));
    let mut places: Vec<FunctionArgExpr> = (0..NAMES.len()).map(|_| zero()).collect();
    for (i, arg) in list.args.iter().enumerate() {
        match arg {
            FunctionArg::Named { name, arg, .. }
            | FunctionArg::ExprNamed { name: Expr::Identifier(name), arg, .. } => {
                match NAMES.iter().position(|known| name.value.eq_ignore_ascii_case(known)) {
                    Some(place) => places[place] = arg.clone(),
                    // Left as it is, it is refused with its name.
                    None => return,
                }
            }
            FunctionArg::Unnamed(arg) if i < NAMES.len() => places[i] = arg.clone(),
            FunctionArg::Unnamed(_) | FunctionArg::ExprNamed { .. } => return,
        }
    }
    list.args = places.into_iter().map(FunctionArg::Unnamed).collect();
}

/// An interval in a form that DataFusion reads too.
fn plain(interval: &mut Interval) {
    let Expr::Value(value) = interval.value.as_mut() else { return };
    let Value::SingleQuotedString(text) = &mut value.value else { return };
    if interval.leading_field.is_some() && interval.last_field.is_none() {
        return;
    }
    if let Some(found) = super::interval::words(text) {
        (interval.leading_field, interval.last_field) = (None, None);
        *text = found;
    }
}

fn tightened(left: &mut Box<Expr>, right: &mut Box<Expr>, join: &dyn Fn(Expr, Expr) -> Expr) -> Option<Expr> {
    let Expr::BinaryOp { left: first, op: op @ (BinaryOperator::And | BinaryOperator::Or), right: rest } =
        right.as_mut()
    else {
        return None;
    };
    let (op, mut first, rest) = (op.clone(), Box::new(take(first)), take(rest));
    let first = match tightened(left, &mut first, join) {
        Some(first) => first,
        None => join(take(left), *first),
    };
    Some(Expr::BinaryOp { left: Box::new(first), op, right: Box::new(rest) })
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

/// The first characters of a text.
fn cut(expr: &mut Expr, length: u64) -> Expr {
    called("left", vec![text(take(expr)), number(length)])
}

fn number(value: u64) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).into())
}

fn string(text: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.into()).into())
}

fn text(expr: Expr) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type: DataType::Text,
        array: false,
        format: None,
    }
}

fn called(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
