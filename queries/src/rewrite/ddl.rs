//! Clauses of CREATE TABLE that other systems need and that mean nothing here: `APPEND ONLY` and `WATERMARK FOR ..`. No row is
//! ever dropped for being late, and a table that is only appended to is known by what is sent to it. `ON CONFLICT OVERWRITE` and
//! `ON CONFLICT IGNORE` of a table, as RisingWave writes them, become an option of it.
use super::tokens::{is_word, spliced};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

/// The tokens of a statement without these clauses. What is no CREATE TABLE stays as it is.
pub(crate) fn plain(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut tokens = conflicting(tokens);
    let places: Vec<usize> = (0..tokens.len())
        .filter(|i| !matches!(tokens[*i].token, Token::Whitespace(_) | Token::EOF))
        .collect();
    for (first, end) in clauses(&places.iter().map(|i| &tokens[*i].token).collect::<Vec<_>>()) {
        for place in &places[first..end] {
            tokens[*place].token = Token::Whitespace(Whitespace::Space);
        }
    }
    tokens
}

/// What INSERT does with the rows whose key is there already.
fn conflicting(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let places: Vec<usize> = (0..tokens.len())
        .filter(|i| !matches!(tokens[*i].token, Token::Whitespace(_) | Token::EOF))
        .collect();
    let is = |at: usize, text: &str| places.get(at).is_some_and(|place| is_word(&tokens[*place].token, text));
    if !(is(0, "create") && is(1, "table")) {
        return tokens;
    }
    let (mut depth, mut found) = (0, None);
    for at in 0..places.len() {
        match tokens[places[at]].token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            // Options of its own, or a query.
            _ if depth == 0 && (is(at, "with") || is(at, "as")) => return tokens,
            _ if depth == 0 && is(at, "on") && is(at + 1, "conflict") => {
                let (what, length) = match () {
                    () if is(at + 2, "overwrite") => ("overwrite", 3),
                    () if is(at + 2, "ignore") => ("ignore", 3),
                    () if is(at + 2, "do") && is(at + 3, "nothing") => ("ignore", 4),
                    () if is(at + 2, "do") && is(at + 3, "update") && is(at + 4, "full") => ("overwrite", 5),
                    () => return tokens,
                };
                found = Some((
                    places[at],
                    places[at + length - 1] + 1,
                    format!(" WITH (on_conflict = '{what}')"),
                ));
            }
            _ => {}
        }
    }
    // What is only appended to has nothing to write over.
    let appended = (0..places.len()).any(|at| is(at, "append") && is(at + 1, "only"));
    match found.filter(|(_, _, text)| !(appended && text.contains("overwrite"))) {
        Some(change) => spliced(&tokens, vec![change]),
        None => tokens,
    }
}

/// Where these clauses begin and end.
fn clauses(words: &[&Token]) -> Vec<(usize, usize)> {
    let is = |i: usize, text: &str| {
        words
            .get(i)
            .is_some_and(|token| matches!(token, Token::Word(w) if w.value.eq_ignore_ascii_case(text)))
    };
    let temporary = usize::from(is(1, "temporary") || is(1, "temp"));
    if !(is(0, "create") && is(1 + temporary, "table")) {
        return vec![];
    }
    let mut cut: Vec<(usize, usize)> = vec![];
    let mut depth = 0;
    let mut i = 0;
    while i < words.len() {
        match words[i] {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            // The query of CREATE TABLE .. AS begins.
            _ if depth == 0 && is(i, "as") => break,
            _ if depth == 0 && is(i, "append") && is(i + 1, "only") => {
                cut.push((i, i + 2));
                i += 1;
            }
            _ if depth == 1 && is(i, "watermark") && is(i + 1, "for") => {
                let end = element_end(words, i);
                // One of the commas beside it goes with it.
                let before = words[i - 1] == &Token::Comma;
                let after = words.get(end) == Some(&&Token::Comma);
                cut.push((i - usize::from(before), end + usize::from(!before && after)));
                i = end - 1;
            }
            _ => {}
        }
        i += 1;
    }
    cut
}

/// The place after the last word of an element of a list in parentheses.
fn element_end(words: &[&Token], from: usize) -> usize {
    let mut depth = 0;
    for (i, token) in words.iter().enumerate().skip(from) {
        match token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return i,
            Token::RParen => depth -= 1,
            Token::Comma if depth == 0 => return i,
            _ => {}
        }
    }
    words.len()
}

#[cfg(test)]
mod tests {
    use super::plain;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    #[test]
    fn clauses_without_meaning_are_left_out() {
        let cases = [
            (
                "CREATE TABLE t (a INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) APPEND ONLY",
                "CREATE TABLE t (a INT, ts TIMESTAMP)",
            ),
            (
                "CREATE TABLE t (a INT PRIMARY KEY) APPEND ONLY ON CONFLICT DO NOTHING",
                "CREATE TABLE t (a INT PRIMARY KEY) WITH (on_conflict = 'ignore')",
            ),
            ("create table t (watermark for ts as f(ts, 1), a int)", "create table t ( a int)"),
            ("CREATE TABLE t AS WITH (x) SELECT 1", "CREATE TABLE t AS WITH (x) SELECT 1"),
            ("SELECT 'WATERMARK FOR'", "SELECT 'WATERMARK FOR'"),
        ];
        for (written, expected) in cases {
            let tokens = Tokenizer::new(&PostgreSqlDialect {}, written).tokenize_with_location();
            let found: Vec<String> = plain(tokens.unwrap_or_default())
                .iter()
                .map(|token| token.token.to_string())
                .filter(|text| text != "EOF")
                .collect();
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(words(&found.concat()).replace(" )", ")"), expected);
        }
    }
}
