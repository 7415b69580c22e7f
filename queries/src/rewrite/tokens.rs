//! What PostgreSQL's grammar does not have, changed before the parser: Flink's table arguments, and names in backquotes.
use crate::DeclareError;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};

/// The tokens of a statement in PostgreSQL's grammar.
pub(crate) fn clean(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, DeclareError> {
    let tokens = quoted(tokens);
    refuse_window_close(&tokens)?;
    let mut cleaned = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let opens = is_window(&token.token);
        cleaned.push(token);
        if !opens || rest.peek().is_none_or(|next| next.token != Token::LParen) {
            continue;
        }
        let mut depth = 0;
        let mut arguments = vec![];
        for token in rest.by_ref() {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            arguments.push(token);
            if depth == 0 {
                break;
            }
        }
        // A window's table may be another window.
        let first = arguments.first().cloned();
        let inner = clean(arguments.into_iter().skip(1).collect())?;
        cleaned.extend(first);
        cleaned.extend(table_argument(inner));
    }
    Ok(cleaned)
}

fn is_word(token: &Token, text: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

fn is_window(token: &Token) -> bool {
    ["tumble", "hop", "cumulate", "session"].iter().any(|name| is_word(token, name))
}

fn is_blank(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// `TABLE t PARTITION BY a, b, DESCRIPTOR(..)` at the beginning of arguments: `t, __partition_by(a, b), DESCRIPTOR(..)`.
fn table_argument(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut tokens = tokens;
    let words = |tokens: &[TokenWithSpan]| -> Vec<usize> {
        (0..tokens.len()).filter(|i| !is_blank(&tokens[*i])).collect()
    };
    let places = words(&tokens);
    // DATA => TABLE t
    let table = places.iter().copied().take(3).find(|i| is_word(&tokens[*i].token, "table"));
    let Some(table) = table else { return tokens };
    tokens.remove(table);
    let places = words(&tokens);
    let partition = places
        .windows(2)
        .find(|pair| is_word(&tokens[pair[0]].token, "partition") && is_word(&tokens[pair[1]].token, "by"));
    let Some((from, by)) = partition.map(|pair| (pair[0], pair[1])) else { return tokens };
    let Some(end) = places.windows(2).find(|pair| {
        pair[0] > by
            && tokens[pair[0]].token == Token::Comma
            && (is_word(&tokens[pair[1]].token, "descriptor") || is_word(&tokens[pair[1]].token, "timecol"))
    }) else {
        return tokens;
    };
    let end = end[0];
    let here = |token: Token| TokenWithSpan { token, span: Span::empty() };
    let columns: Vec<TokenWithSpan> = tokens[by + 1..end].to_vec();
    let mut call = vec![here(Token::Comma), here(word("__partition_by", None)), here(Token::LParen)];
    call.extend(columns);
    call.push(here(Token::RParen));
    tokens.splice(from..end, call);
    tokens
}

fn word(text: &str, quote_style: Option<char>) -> Token {
    Token::Word(Word { value: text.into(), quote_style, keyword: Keyword::NoKeyword })
}

/// Names in backquotes, as Flink writes them, are quoted names.
fn quoted(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_quote = |token: &TokenWithSpan| token.token.to_string() == "`";
    if !tokens.iter().any(is_quote) {
        return tokens;
    }
    let mut cleaned = vec![];
    let mut rest = tokens.into_iter();
    while let Some(token) = rest.next() {
        if !is_quote(&token) {
            cleaned.push(token);
            continue;
        }
        let inner: Vec<TokenWithSpan> = rest.by_ref().take_while(|token| !is_quote(token)).collect();
        let text: String = inner.iter().map(|token| token.token.to_string()).collect();
        cleaned.push(TokenWithSpan { token: word(&text, Some('"')), span: token.span });
    }
    cleaned
}

fn refuse_window_close(tokens: &[TokenWithSpan]) -> Result<(), DeclareError> {
    let words: Vec<&Token> = tokens.iter().filter(|token| !is_blank(token)).map(|t| &t.token).collect();
    let wanted = ["emit", "on", "window", "close"];
    let found =
        words.windows(4).any(|four| four.iter().zip(wanted).all(|(token, text)| is_word(token, text)));
    if found {
        return Err(DeclareError::Unsupported(
            "EMIT ON WINDOW CLOSE hides windows until they are final, and here late rows correct every window: leave it out, or keep the windows that are over with WHERE window_end <= now()".into(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    fn tokens_of(sql: &str) -> Vec<TokenWithSpan> {
        Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().unwrap_or_default()
    }

    #[test]
    fn flink_spellings_are_read() {
        let cases = [
            ("SELECT `a b` FROM t", "SELECT \"a b\" FROM t"),
            (
                "SELECT * FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))",
                "SELECT * FROM TABLE(TUMBLE( bid, DESCRIPTOR(\"dateTime\"), INTERVAL '10' SECOND))",
            ),
            (
                "SELECT * FROM TABLE(SESSION(TABLE t PARTITION BY a, b, DESCRIPTOR(ts), INTERVAL '5' MINUTES))",
                "SELECT * FROM TABLE(SESSION( t ,__partition_by( a, b), DESCRIPTOR(ts), INTERVAL '5' MINUTES))",
            ),
        ];
        for (written, expected) in cases {
            let found: String = clean(tokens_of(written))
                .unwrap_or_else(|why| panic!("{written}: {why}"))
                .iter()
                .map(|token| token.token.to_string())
                .filter(|text| text != "EOF")
                .collect();
            assert_eq!(found, expected);
        }
        assert!(clean(tokens_of("SELECT 1 EMIT ON WINDOW CLOSE")).is_err());
    }
}
