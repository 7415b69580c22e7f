//! Whether rows are the expected ones. Systems print the same value in different ways; a different value is never taken.

/// Numbers that are not both integers may differ by this much of the greater one.
const RELATIVE: f64 = 1e-6;
/// And near zero by this much.
const ABSOLUTE: f64 = 1e-9;
/// Up to so many rows a row is looked for among all others; beyond, only at its place in a sort.
const SEARCH_ROWS_MAX: usize = 3_000;
/// Up to so many pairs of a line and a row are compared to find lines among rows.
const PAIRS_MAX: usize = 10_000_000;

/// How the rows compare with the expected ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The same rows in the same order.
    Ordered,
    /// The same rows in another order.
    Unordered,
    /// Other rows.
    Different,
}

/// Compares rows, each of them as cells, with expected lines.
pub fn compare(actual: &[Vec<String>], expected: &[String]) -> Match {
    if actual.len() != expected.len() {
        return Match::Different;
    }
    let actual: Vec<Vec<String>> = actual.iter().map(|row| tokens(&row.join(" "))).collect();
    let expected: Vec<Vec<String>> = expected.iter().map(|line| tokens(line)).collect();
    if actual.iter().zip(&expected).all(|(a, b)| same_row(a, b)) {
        return Match::Ordered;
    }
    if same_bag(actual, expected) { Match::Unordered } else { Match::Different }
}

/// Whether all these lines are among the rows, each as often.
pub fn is_part(lines: &[String], rows: &[Vec<String>]) -> bool {
    if rows.len().saturating_mul(lines.len()) > PAIRS_MAX {
        return false;
    }
    let mut rows: Vec<Vec<String>> = rows.iter().map(|row| tokens(&row.join(" "))).collect();
    lines.iter().all(|line| {
        let line = tokens(line);
        let at = rows.iter().position(|row| same_row(row, &line));
        at.map(|at| rows.swap_remove(at)).is_some()
    })
}

/// Whether lines are rows in an order that differs only where the last cells, the keys, are equal.
pub fn is_other_tie(rows: &[Vec<String>], keys: usize, lines: &[String]) -> bool {
    if rows.len() != lines.len() || rows.iter().any(|row| row.len() < keys) {
        return false;
    }
    let split = |row: &Vec<String>| {
        let (cells, keys) = row.split_at(row.len() - keys);
        (vec![cells.to_vec()], keys.to_vec())
    };
    let rows: Vec<_> = rows.iter().map(split).collect();
    let mut from = 0;
    while from < rows.len() {
        let until = rows[from..].iter().position(|(_, keys)| *keys != rows[from].1);
        let until = until.map_or(rows.len(), |count| from + count);
        let cells: Vec<Vec<String>> = rows[from..until].iter().flat_map(|(cells, _)| cells.clone()).collect();
        if compare(&cells, &lines[from..until]) == Match::Different {
            return false;
        }
        from = until;
    }
    true
}

/// Expected rows that are not there, and rows that are not expected.
pub fn difference(what: &str, rows: &[Vec<String>], expected: &[String]) -> String {
    const LINES_MAX: usize = 12;
    let part = |sign: char, lines: &mut dyn Iterator<Item = String>| {
        let lines: Vec<String> = lines.map(|line| format!("{sign} {line}")).collect();
        let more = lines.len().saturating_sub(LINES_MAX);
        let mut text = lines[..lines.len() - more].join("\n");
        if more > 0 {
            text += &format!("\n{sign} and {more} more");
        }
        text
    };
    let expected = part('-', &mut expected.iter().cloned());
    let actual = part('+', &mut rows.iter().map(|row| row.join(" ")));
    format!("{what}\n{expected}\n{actual}")
}

/// The words of a line, in one spelling: brackets as braces, no commas and quotes, times without their zeros and zone.
fn tokens(line: &str) -> Vec<String> {
    let mut tokens = vec![];
    let mut word = String::new();
    for c in line.chars() {
        match c {
            '[' | '{' | '(' | ']' | '}' | ')' => {
                push_word(&mut word, &mut tokens);
                tokens.push(if matches!(c, '[' | '{' | '(') { "{".into() } else { "}".into() });
            }
            ',' => push_word(&mut word, &mut tokens),
            '"' => {}
            c if c.is_whitespace() => push_word(&mut word, &mut tokens),
            c => word.push(c),
        }
    }
    push_word(&mut word, &mut tokens);
    one_text_type(tokens)
}

/// Arrow's names of the ways in which the same text or number may be kept, as one name.
fn one_text_type(mut tokens: Vec<String>) -> Vec<String> {
    for token in &mut tokens {
        if matches!(token.as_str(), "Utf8View" | "LargeUtf8") {
            *token = "Utf8".into();
        }
    }
    // Dictionary { keys values }: the inner ones first.
    while let Some(at) = tokens.iter().rposition(|token| token == "Dictionary") {
        match tokens.get(at + 1..at + 5) {
            Some([open, _, _, close]) if open == "{" && close == "}" => {
                let values = tokens[at + 3].clone();
                tokens.splice(at..at + 5, [values]);
            }
            _ => break,
        }
    }
    tokens
}

fn push_word(word: &mut String, tokens: &mut Vec<String>) {
    let whole = std::mem::take(word);
    if whole.is_empty() {
        return;
    }
    let date = whole.get(..10).filter(|date| is_date(date));
    match (date, whole.get(10..11)) {
        (Some(date), Some("T")) => {
            tokens.push(date.to_owned());
            tokens.push(time(&whole[11..]));
        }
        _ if whole.contains(':') && whole.starts_with(|c: char| c.is_ascii_digit()) => {
            tokens.push(time(&whole))
        }
        _ => tokens.push(whole),
    }
}

fn is_date(text: &str) -> bool {
    text.bytes().enumerate().all(|(i, b)| match i {
        4 | 7 => b == b'-',
        _ => b.is_ascii_digit(),
    })
}

fn time(text: &str) -> String {
    let text = ["Z", "+00:00", "+00"].iter().find_map(|zone| text.strip_suffix(zone)).unwrap_or(text);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    }
}

fn same_row(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

fn same(a: &str, b: &str) -> bool {
    if a == b || boolean(a).is_some_and(|x| boolean(b) == Some(x)) {
        return true;
    }
    if is_integer(a) && is_integer(b) {
        return integer(a) == integer(b);
    }
    match (number(a), number(b)) {
        (Some(x), Some(y)) if x.is_finite() && y.is_finite() => {
            (x - y).abs() <= (RELATIVE * x.abs().max(y.abs())).max(ABSOLUTE)
        }
        (Some(x), Some(y)) => x == y || (x.is_nan() && y.is_nan()),
        _ => false,
    }
}

fn boolean(word: &str) -> Option<bool> {
    match word {
        "t" | "true" => Some(true),
        "f" | "false" => Some(false),
        _ => None,
    }
}

fn is_integer(word: &str) -> bool {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// The digits with their sign, zero without.
fn integer(word: &str) -> (bool, &str) {
    let digits = word.trim_start_matches(['+', '-']).trim_start_matches('0');
    (word.starts_with('-') && !digits.is_empty(), digits)
}

fn number(word: &str) -> Option<f64> {
    match word {
        "NaN" | "Infinity" | "-Infinity" | "inf" | "-inf" => word.parse().ok(),
        _ if word.bytes().any(|b| b.is_ascii_digit()) => word.parse().ok(),
        _ => None,
    }
}

/// The rows in any order: first by a sort that nearly equal numbers rarely upset, then by looking for each row.
fn same_bag(mut actual: Vec<Vec<String>>, mut expected: Vec<Vec<String>>) -> bool {
    actual.sort_by_cached_key(|row| sort_key(row));
    expected.sort_by_cached_key(|row| sort_key(row));
    if actual.iter().zip(&expected).all(|(a, b)| same_row(a, b)) {
        return true;
    }
    actual.len() <= SEARCH_ROWS_MAX
        && actual.iter().all(|row| match expected.iter().position(|other| same_row(row, other)) {
            Some(at) => {
                expected.swap_remove(at);
                true
            }
            None => false,
        })
}

fn sort_key(row: &[String]) -> Vec<String> {
    row.iter()
        .map(|word| match (boolean(word), is_integer(word), number(word)) {
            (Some(value), _, _) => value.to_string(),
            (_, _, Some(value)) => format!("{:.3e}", value + 0.0),
            _ => word.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_in_another_spelling() {
        let same = [
            ("1.0", "1"),
            ("0.333333333333", "0.33333333333333331"),
            ("1e+20", "100000000000000000000"),
            ("t", "true"),
            ("NULL", "NULL"),
            ("{1,2}", "[1, 2]"),
            ("{\"a b\"}", "[a b]"),
            ("2020-01-01 00:00:01.5", "2020-01-01T00:00:01.500"),
            ("2020-01-01 00:00:00+00", "2020-01-01T00:00:00Z"),
            ("NaN", "NaN"),
            ("a   b", "a b"),
            ("0", "0.0000000000001"),
            ("-0", "0"),
            ("000", "0"),
            ("-007", "-7"),
            ("Dictionary(Int32, Dictionary(UInt32, Utf8View))", "Utf8"),
            ("List(Utf8)", "List(LargeUtf8)"),
        ];
        for (a, b) in same {
            assert_eq!(compare(&[vec![a.to_owned()]], &[b.to_owned()]), Match::Ordered, "{a} {b}");
        }
        let different = [
            ("9223372036854775807", "9223372036854775806"),
            ("1", "2"),
            ("1", "-1"),
            ("10", "1"),
            ("1.00001", "1"),
            ("t", "f"),
            ("NULL", "(empty)"),
            ("{1,2}", "[1, 2, 3]"),
            ("{{1},{2}}", "{{1,2}}"),
            ("2020-01-01", "2020-01-01T00:00:00"),
            ("nan", "1"),
            ("a", "A"),
            ("Dictionary(Int32, Utf8)", "Int32"),
            ("Dictionary Int32 Utf8", "Utf8"),
        ];
        for (a, b) in different {
            assert_eq!(compare(&[vec![a.to_owned()]], &[b.to_owned()]), Match::Different, "{a} {b}");
        }
    }

    #[test]
    fn rows_change_places_among_equal_keys_only() {
        let rows = |texts: &[&str]| -> Vec<Vec<String>> {
            texts.iter().map(|text| text.split(' ').map(str::to_owned).collect()).collect()
        };
        let lines = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        let keyed = rows(&["a 1", "b 1", "c 2"]);
        assert!(is_other_tie(&keyed, 1, &lines(&["b", "a", "c"])));
        assert!(!is_other_tie(&keyed, 1, &lines(&["a", "c", "b"])));
        assert!(!is_other_tie(&keyed, 1, &lines(&["a", "b"])));
        assert!(!is_other_tie(&keyed, 1, &lines(&["a", "a", "c"])));
    }

    #[test]
    fn the_order_is_told_apart() {
        let rows = |texts: &[&str]| texts.iter().map(|text| vec![text.to_string()]).collect::<Vec<_>>();
        let lines = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        let cases = [
            (vec!["1", "2"], vec!["1", "2"], Match::Ordered),
            (vec!["2", "1"], vec!["1", "2"], Match::Unordered),
            (vec!["1", "1"], vec!["1", "2"], Match::Different),
            (vec!["1"], vec!["1", "1"], Match::Different),
            (vec!["0.99999999 b", "1 a"], vec!["1 a", "1 b"], Match::Unordered),
        ];
        for (actual, expected, found) in cases {
            assert_eq!(compare(&rows(&actual), &lines(&expected)), found, "{actual:?} {expected:?}");
        }
    }
}
