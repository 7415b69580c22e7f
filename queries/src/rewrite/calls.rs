//! Calls and phrases whose meaning other calls have: `mod(a, b)`, `date_part(..)`, `x > ANY (list)`, `list[2:]`.
use super::{expression, function_name, plain_arguments};
use crate::DeclareError;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    SelectItem, Subscript, Value,
};

/// Rewrites an expression whose parts are rewritten.
pub(super) fn rewrite(expr: &mut Expr) -> Result<(), DeclareError> {
    let text = match expr {
        Expr::Substring { substring_from: Some(pattern), .. } => {
            if let Expr::Value(pattern) = pattern.as_mut()
                && let Value::SingleQuotedString(text) = &mut pattern.value
            {
                *text = sorted_words(text);
            }
            return Ok(());
        }
        Expr::Function(call) => {
            if let Some(longest) = longest_first(call) {
                *expr = longest;
                return Ok(());
            }
            let Some(list) = plain_arguments(call) else { return Ok(()) };
            match called(&function_name(&call.name), &list) {
                Some(text) => text,
                None => return Ok(()),
            }
        }
        Expr::AnyOp { left, compare_op, right, .. } => match some(left, compare_op, right, true) {
            Some(text) => text,
            None => return Ok(()),
        },
        Expr::AllOp { left, compare_op, right } => match some(left, compare_op, right, false) {
            Some(text) => text,
            None => return Ok(()),
        },
        Expr::CompoundFieldAccess { root, access_chain } => match slice(root, access_chain) {
            Some(text) => text,
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    *expr = expression(&text)?;
    Ok(())
}

/// A column without a name has that of the call that is about to be rewritten.
pub(super) fn name(item: &mut SelectItem) {
    let SelectItem::UnnamedExpr(expr) = item else { return };
    let name = match expr {
        Expr::Function(call) => match plain_arguments(call) {
            Some(list) if called(&function_name(&call.name), &list).is_some() => function_name(&call.name),
            _ => return,
        },
        Expr::CompoundFieldAccess { root, access_chain } if slice(root, access_chain).is_some() => match root
            .as_ref()
        {
            Expr::Identifier(word) => word.value.clone(),
            Expr::CompoundIdentifier(words) => words.last().map_or(String::new(), |word| word.value.clone()),
            Expr::Function(call) => function_name(&call.name),
            _ => "array".into(),
        },
        _ => return,
    };
    let alias = Ident::with_quote('"', name.to_lowercase());
    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
}

/// What a call means.
fn called(name: &str, list: &[Expr]) -> Option<String> {
    Some(match (name, list) {
        ("mod", [a, b]) => format!("(({a}) % ({b}))"),
        // A part of a time is a numeric where it is extracted, and a double where it is asked for by this name.
        ("date_part" | "datepart", [Expr::Value(field), time]) => {
            let Value::SingleQuotedString(field) = &field.value else { return None };
            let plain = !field.is_empty() && field.chars().all(|c| c.is_ascii_alphabetic());
            if !plain {
                return None;
            }
            format!("CAST(extract({field} FROM {time}) AS DOUBLE PRECISION)")
        }
        ("age", [time]) => format!("age(CAST(CAST(now() AS DATE) AS TIMESTAMP), CAST({time} AS TIMESTAMP))"),
        ("quote_nullable", [value]) => format!("coalesce(quote_literal({value}), 'NULL')"),
        ("regexp_replace", [text, pattern, by, start, rest @ ..]) => {
            replaced_from([text, pattern, by, start], rest)?
        }
        ("jsonb_set_lax", [document, path, value]) => {
            format!("jsonb_set({document}, {path}, coalesce({value}, 'null'))")
        }
        _ => return None,
    })
}

/// A call of a function that tells what a pattern matches, whose pattern takes the longest of several words: PostgreSQL takes the
/// longest match, the engine here the first word that fits.
fn longest_first(call: &Function) -> Option<Expr> {
    const TELL: [&str; 6] =
        ["regexp_replace", "regexp_match", "regexp_substr", "substring", "substr", "regexp_count"];
    if !TELL.contains(&function_name(&call.name).as_str()) {
        return None;
    }
    let mut call = call.clone();
    let FunctionArguments::List(list) = &mut call.args else { return None };
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(pattern)))) = list.args.get_mut(1) else {
        return None;
    };
    let Value::SingleQuotedString(text) = &mut pattern.value else { return None };
    let sorted = sorted_words(text);
    if sorted == *text {
        return None;
    }
    *text = sorted;
    Some(Expr::Function(call))
}

/// The pattern with the words of each `a|ab` by length, the longest first; what is no plain word stays where it is.
fn sorted_words(pattern: &str) -> String {
    let is_word =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_ -".contains(c));
    let mut out = String::new();
    let mut rest = pattern;
    loop {
        let end = rest.find(['(', ')']).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        let (lead, words) = match part.strip_prefix("?:") {
            Some(words) => ("?:", words),
            None => ("", part),
        };
        let mut list: Vec<&str> = words.split('|').collect();
        let hidden = list.iter().enumerate().any(|(i, word)| {
            list[..i]
                .iter()
                .any(|earlier| !earlier.is_empty() && word.starts_with(earlier) && word != earlier)
        });
        if hidden && list.iter().all(|word| is_word(word)) {
            list.sort_by_key(|word| std::cmp::Reverse(word.len()));
        }
        out.push_str(lead);
        out.push_str(&list.join("|"));
        let Some(bracket) = after.chars().next() else { return out };
        out.push(bracket);
        rest = &after[1..];
    }
}

/// `regexp_replace(text, pattern, by, start, n, flags)`: from a place on, of all matches (`n` is 0) or of the first.
fn replaced_from([text, pattern, by, start]: [&Expr; 4], rest: &[Expr]) -> Option<String> {
    let constant = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.to_string().parse::<usize>().ok(),
            _ => None,
        },
        _ => None,
    };
    let flags = match rest.get(1) {
        None => String::new(),
        Some(Expr::Value(flags)) => match &flags.value {
            Value::SingleQuotedString(flags) => flags.clone(),
            _ => return None,
        },
        Some(_) => return None,
    };
    let all = match rest.first().map_or(Some(1), constant)? {
        0 => "g",
        1 => "",
        _ => return None,
    };
    let flags = format!("{flags}{all}");
    let flags = if flags.is_empty() { String::new() } else { format!(", '{flags}'") };
    let replaced = |text: &str| format!("regexp_replace({text}, {pattern}, {by}{flags})");
    match constant(start)? {
        1 => Some(replaced(&text.to_string())),
        // What looks behind its place would see another text.
        start if start > 1 && !pattern.to_string().contains(['^', '\\']) => {
            let (before, after) =
                (format!("left({text}, {})", start - 1), format!("substr({text}, {start})"));
            Some(format!("({before} || {})", replaced(&after)))
        }
        _ => None,
    }
}

/// `x > ANY (list)` and `x > ALL (list)`: NULL where only a NULL of the list could decide.
fn some(value: &Expr, op: &BinaryOperator, list: &Expr, any: bool) -> Option<String> {
    let known = match op {
        BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq => true,
        BinaryOperator::NotEq => any,
        BinaryOperator::Eq => !any,
        _ => false,
    };
    let inner = match list {
        Expr::Nested(inner) => inner.as_ref(),
        list => list,
    };
    let marked = matches!(value, Expr::Nested(once) if matches!(once.as_ref(), Expr::Nested(_)));
    if !known || marked || matches!(inner, Expr::Subquery(_) | Expr::Value(_) | Expr::Tuple(_)) {
        return None;
    }
    let word = if any { "ANY" } else { "ALL" };
    // What one element decides, and what nothing does.
    let (decided, otherwise) = if any { ("true", "false") } else { ("false", "true") };
    let is = if any { "" } else { "NOT " };
    Some(format!(
        "CASE WHEN {is}((({value})) {op} {word} ({inner})) THEN {decided} WHEN ({inner}) IS NULL THEN NULL \
         WHEN cardinality({inner}) = 0 THEN {otherwise} \
         WHEN ({value}) IS NULL OR array_position({inner}, NULL) IS NOT NULL THEN NULL ELSE {otherwise} END"
    ))
}

/// `list[2:3]`, with what is left out marked as open.
fn slice(root: &Expr, chain: &[AccessExpr]) -> Option<String> {
    let slices = chain.iter().any(|step| matches!(step, AccessExpr::Subscript(Subscript::Slice { .. })));
    if !slices {
        return None;
    }
    let (mut open, mut ends) = (String::new(), vec![]);
    let mut end = |bound: Option<&Expr>| {
        open.push(if bound.is_some() { 'b' } else { 'o' });
        ends.push(bound.map_or_else(|| "CAST(NULL AS BIGINT)".to_string(), |bound| bound.to_string()));
    };
    for step in chain {
        match step {
            AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride: None }) => {
                end(lower_bound.as_ref());
                end(upper_bound.as_ref());
            }
            // Beside a slice, one place is the slice from the first to it.
            AccessExpr::Subscript(Subscript::Index { index }) => {
                end(Some(&Expr::value(Value::Number("1".into(), false))));
                end(Some(index));
            }
            _ => return None,
        }
    }
    Some(format!("__slice({root}, '{open}', {})", ends.join(", ")))
}
