//! Answers as rows of texts, and whether two hold the same rows.
use queries::session::Answer;

pub type Row = Vec<Option<String>>;

/// How far two numbers may be apart, relative to the larger.
const NEAR: f64 = 1e-9;

/// The rows of the last answer.
pub fn rows_of(answers: &[Answer]) -> Vec<Row> {
    let Some(Answer::Rows { rows, .. }) = answers.last() else { return vec![] };
    let row = |batch: &arrow::array::RecordBatch, i: usize| -> Row {
        batch.columns().iter().map(|column| queries::text::cell(column.as_ref(), i)).collect()
    };
    rows.iter().flat_map(|batch| (0..batch.num_rows()).map(move |i| row(batch, i))).collect()
}

fn number(text: &str) -> Option<f64> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || first == b'-' || first == b'N' || first == b'I') {
        return None;
    }
    text.parse().ok()
}

fn decimals(text: &str) -> usize {
    text.split_once('.').map_or(0, |(_, rest)| rest.len())
}

/// Whether a cell that is wanted is the one that was found.
fn is_near(a: &Option<String>, b: &Option<String>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) if a != b => match (number(a), number(b)) {
            // PostgreSQL shows more digits of a quotient of numerics.
            (Some(x), Some(y)) if decimals(a) > 10 && (4..10).contains(&decimals(b)) => {
                (x - y).abs() <= 10f64.powi(-(decimals(b) as i32))
            }
            (Some(x), Some(y)) => {
                x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= NEAR * (1.0 + x.abs().max(y.abs()))
            }
            _ => false,
        },
        (a, b) => a == b,
    }
}

fn are_near(a: &Row, b: &Row) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_near(a, b))
}

/// By what rows are sorted: near numbers stand near each other.
fn key(row: &Row) -> Vec<Option<String>> {
    let cell = |text: &String| match number(text) {
        Some(number) => format!("{:.6e}", number + 0.0),
        None => text.clone(),
    };
    row.iter().map(|text| text.as_ref().map(cell)).collect()
}

/// The rows of each that the other lacks.
pub fn difference(mut left: Vec<Row>, mut right: Vec<Row>) -> (Vec<Row>, Vec<Row>) {
    left.sort_by_cached_key(key);
    right.sort_by_cached_key(key);
    if left.len() == right.len() && left.iter().zip(&right).all(|(a, b)| are_near(a, b)) {
        return (vec![], vec![]);
    }
    let mut only = vec![];
    for row in left {
        match right.iter().position(|other| are_near(&row, other)) {
            Some(place) => _ = right.remove(place),
            None => only.push(row),
        }
    }
    (only, right)
}

/// A few rows for the eye.
pub fn shown(rows: &[Row]) -> String {
    let cell = |text: &Option<String>| text.clone().unwrap_or_else(|| "NULL".into());
    let mut lines: Vec<String> = rows
        .iter()
        .take(10)
        .map(|row| format!("      {}", row.iter().map(cell).collect::<Vec<_>>().join(" | ")))
        .collect();
    if rows.len() > 10 {
        lines.push(format!("      and {} more", rows.len() - 10));
    }
    lines.join("\n")
}
