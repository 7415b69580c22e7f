//! DataFusion's errors, sorted by what the author of the SQL can do about them.
use crate::DeclareError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

/// Where an error is, if its text does not say.
type Place = Option<(u64, u64)>;

/// An error of planning or evaluating.
pub(crate) fn from_datafusion(why: DataFusionError) -> DeclareError {
    from_datafusion_at(why, None)
}

/// The same, for a statement that ends at a place.
pub(crate) fn from_datafusion_at(why: DataFusionError, end: Place) -> DeclareError {
    let span = why.diagnostic().and_then(|d| d.span).map(|span| (span.start.line, span.start.column));
    let located = |text: String| match span {
        Some((line, column)) => format!("line {line}, column {column}: {text}"),
        None => text,
    };
    match innermost(&why) {
        DataFusionError::SQL(parser, _) => from_parser(parser, end.or(span)),
        DataFusionError::NotImplemented(text) => DeclareError::Unsupported(located(first_line(text))),
        DataFusionError::SchemaError(schema, _) => DeclareError::Invalid(located(schema_text(schema))),
        DataFusionError::Internal(text) => DeclareError::Internal(first_line(text)),
        DataFusionError::Plan(text)
        | DataFusionError::Configuration(text)
        | DataFusionError::Execution(text) => DeclareError::Invalid(located(first_line(text))),
        other => DeclareError::Invalid(located(first_line(&other.strip_backtrace()))),
    }
}

fn innermost(why: &DataFusionError) -> &DataFusionError {
    match why {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => innermost(inner),
        DataFusionError::Shared(inner) => innermost(inner),
        DataFusionError::Collection(list) => list.first().map_or(why, innermost),
        _ => why,
    }
}

fn schema_text(why: &SchemaError) -> String {
    let SchemaError::FieldNotFound { field, valid_fields } = why else {
        return first_line(&why.to_string());
    };
    let mut known: Vec<String> = valid_fields.iter().map(|column| column.flat_name()).collect();
    known.sort_by_key(|name| distance(name.rsplit('.').next().unwrap_or(name), field.name()));
    match known.len() {
        0 => format!("no column {:?}: there are no columns here", field.flat_name()),
        1..=12 => format!("no column {:?}: there are {}", field.flat_name(), known.join(", ")),
        n => format!("no column {:?}: nearest of {n} are {}", field.flat_name(), known[..6].join(", ")),
    }
}

/// Levenshtein's: how many characters to change.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The name among `known` that is nearest to `name`, if any is near.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (distance(candidate, name), candidate))
        .min()
        .filter(|(steps, _)| *steps <= name.len() / 3 + 1)
        .map(|(_, candidate)| candidate)
}

/// An error of the parser; `end` is where the text ended.
pub(crate) fn from_parser(why: &ParserError, end: Place) -> DeclareError {
    let text = match why {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => {
            "the statement is nested deeper than 50 levels: write parts of it as views or in WITH"
        }
    };
    match text.rsplit_once(" at Line: ").and_then(|(message, place)| Some((message, place_of(place)?))) {
        Some((message, at)) => DeclareError::Syntax { message: lower_first(message), at: Some(at) },
        None => DeclareError::Syntax { message: lower_first(&first_line(text)), at: end },
    }
}

fn place_of(text: &str) -> Option<(u64, u64)> {
    let (line, column) = text.split_once(", Column: ")?;
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some((line.trim().parse().ok()?, digits.parse().ok()?))
}

fn lower_first(text: &str) -> String {
    let mut rest = text.chars();
    // A word in capitals, such as UNION, stays.
    if text.chars().nth(1).is_some_and(char::is_uppercase) {
        return text.to_owned();
    }
    rest.next().map_or(String::new(), |first| first.to_lowercase().chain(rest).collect())
}

/// DataFusion appends backtraces and pages of help after the first line.
fn first_line(text: &str) -> String {
    lower_first(text.lines().next().unwrap_or_default().trim_end_matches('.'))
}
