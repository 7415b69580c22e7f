//! Clauses of CREATE TABLE that other systems need and that mean nothing here: `APPEND ONLY`, `WATERMARK FOR ..` and `WITH (..)`. No row is
//! ever dropped for being late, and a table that is only appended to is known by what is sent to it.
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// The text of a statement without these clauses. What is no CREATE TABLE stays as it is.
pub fn strip(sql: &str) -> String {
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location() else {
        return sql.to_string();
    };
    let words: Vec<&TokenWithSpan> =
        tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)).collect();
    let is = |i: usize, text: &str| {
        words
            .get(i)
            .is_some_and(|token| matches!(&token.token, Token::Word(w) if w.value.eq_ignore_ascii_case(text)))
    };
    let temporary = usize::from(is(1, "temporary") || is(1, "temp"));
    if !(is(0, "create") && is(1 + temporary, "table")) {
        return sql.to_string();
    }
    let mut cut: Vec<(usize, usize)> = vec![];
    let mut depth = 0;
    let mut i = 0;
    while i < words.len() {
        match &words[i].token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            // The query of CREATE TABLE .. AS begins.
            _ if depth == 0 && is(i, "as") => break,
            _ if depth == 0 && is(i, "append") && is(i + 1, "only") => {
                cut.push((i, i + 2));
                i += 1;
            }
            _ if depth == 0
                && is(i, "with")
                && words.get(i + 1).is_some_and(|t| t.token == Token::LParen) =>
            {
                let end = closing(&words, i + 1);
                cut.push((i, end + 1));
                i = end;
            }
            _ if depth == 1 && is(i, "watermark") && is(i + 1, "for") => {
                let end = element_end(&words, i);
                // One of the commas beside it goes with it.
                let before = i > 0 && words[i - 1].token == Token::Comma;
                let after = words.get(end).is_some_and(|token| token.token == Token::Comma);
                cut.push((i - usize::from(before), end + usize::from(!before && after)));
                i = end - 1;
            }
            _ => {}
        }
        i += 1;
    }
    let mut text = String::with_capacity(sql.len());
    let mut from = 0;
    for (first, end) in cut {
        text.push_str(&sql[from..byte_of(sql, words[first].span.start)]);
        from = byte_of(sql, words[end - 1].span.end);
    }
    text.push_str(&sql[from..]);
    text
}

/// Where the parenthesis that opens at `open` is closed.
fn closing(words: &[&TokenWithSpan], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in words.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i;
        }
    }
    words.len() - 1
}

/// The place after the last word of an element of a list in parentheses.
fn element_end(words: &[&TokenWithSpan], from: usize) -> usize {
    let mut depth = 0;
    for (i, token) in words.iter().enumerate().skip(from) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return i,
            Token::RParen => depth -= 1,
            Token::Comma if depth == 0 => return i,
            _ => {}
        }
    }
    words.len()
}

/// Lines and columns count from 1, columns in characters.
fn byte_of(sql: &str, at: Location) -> usize {
    let line_start: usize = sql.split_inclusive('\n').take(at.line as usize - 1).map(str::len).sum();
    let line = &sql[line_start..];
    line_start + line.char_indices().nth(at.column as usize - 1).map_or(line.len(), |(byte, _)| byte)
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn clauses_without_meaning_are_left_out() {
        let cases = [
            (
                "CREATE TABLE t (a INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) APPEND ONLY",
                "CREATE TABLE t (a INT, ts TIMESTAMP) ",
            ),
            (
                "create table t (watermark for ts as f(ts, 1), a int) with ('x' = 'it''s') ;",
                "create table t ( a int)  ;",
            ),
            ("CREATE TABLE t AS WITH (x) SELECT 1", "CREATE TABLE t AS WITH (x) SELECT 1"),
            ("SELECT 'WATERMARK FOR'", "SELECT 'WATERMARK FOR'"),
        ];
        for (written, expected) in cases {
            assert_eq!(strip(written), expected);
        }
    }
}
