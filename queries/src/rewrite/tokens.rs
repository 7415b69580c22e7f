//! What PostgreSQL's grammar does not have, changed before the parser: Flink's table arguments, and names in backquotes.
use crate::DeclareError;
use crate::declare::dialect::POSTGRES;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer, Word};

/// The tokens of a statement in PostgreSQL's grammar.
pub(crate) fn clean(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, DeclareError> {
    let tokens = worded(super::phrases::read(quoted(tokens))?);
    refuse_window_close(&tokens)?;
    Ok(windowed(tokens))
}

/// The arguments of windows in FROM.
fn windowed(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
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
        let inner = windowed(arguments.into_iter().skip(1).collect());
        cleaned.extend(first);
        cleaned.extend(table_argument(inner));
    }
    cleaned
}

pub(super) fn is_word(token: &Token, text: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

fn is_window(token: &Token) -> bool {
    ["tumble", "hop", "cumulate", "session"].iter().any(|name| is_word(token, name))
}

pub(super) fn is_blank(token: &TokenWithSpan) -> bool {
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

/// The function that marks the frame of a window function as one without some of its rows; it stands as the last key of the order.
pub(super) const EXCLUDED: &str = "__frame_without";

/// Phrases of PostgreSQL that the parser does not read: `TABLE t`, `BETWEEN SYMMETRIC`, `TRIM(LEADING FROM x)`, `GROUP BY ()` and
/// `EXCLUDE ..` of a frame.
fn worded(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    const FIRST: [&str; 7] = ["table", "symmetric", "trim", "exclude", "group", "values", "isnull"];
    if !tokens.iter().any(|token| FIRST.iter().any(|text| is_word(&token.token, text))) {
        return tokens;
    }
    let places: Vec<usize> = (0..tokens.len()).filter(|i| !is_blank(&tokens[*i])).collect();
    let mut changes: Vec<(usize, usize, String)> = vec![];
    for (n, place) in places.iter().enumerate() {
        let at = |step: isize| {
            let n = usize::try_from(n as isize + step).ok()?;
            places.get(n).map(|place| &tokens[*place].token)
        };
        let word = |step: isize, text: &str| at(step).is_some_and(|token| is_word(token, text));
        let is = |step: isize, token: &Token| at(step) == Some(token);
        let mut change =
            |until: usize, text: &str| changes.push((*place, places[n + until] + 1, text.into()));
        if word(0, "table") && matches!(at(1), Some(Token::Word(_))) {
            let set = ["union", "except", "intersect", "as"].iter().any(|text| word(-1, text));
            let all = word(-1, "all") && !word(-2, "select");
            let open = is(-1, &Token::LParen)
                && !matches!(at(-2), Some(token) if is_window(token) || is_argument(token));
            let ends = at(2).is_none_or(|token| *token != Token::LParen);
            if (n == 0 || set || all || open) && ends {
                change(0, "SELECT * FROM");
            }
        } else if word(0, "values")
            && is(-1, &Token::LParen)
            && is_word_of(at(-2), &["in", "any", "some", "all"])
            && let Some(close) = closing(&tokens, &places[n..])
        {
            change(0, "SELECT * FROM (VALUES");
            changes.push((close, close, ") AS __values".into()));
        } else if word(0, "isnull") && !is(1, &Token::LParen) && at(-1).is_some_and(ends_operand) {
            change(0, "IS NULL");
        } else if word(0, "symmetric") && word(-1, "between") {
            // An operator that PostgreSQL no longer has.
            change(0, "!!");
        } else if word(0, "trim")
            && is(1, &Token::LParen)
            && is_word_of(at(2), &["leading", "trailing", "both"])
            && word(3, "from")
        {
            let blank = at(2).map(|token| format!("trim({token} ' ' FROM")).unwrap_or_default();
            change(3, &blank);
        } else if word(0, "group") && word(1, "by") && is(2, &Token::LParen) && is(3, &Token::RParen) {
            change(3, "GROUP BY GROUPING SETS (())");
        } else if word(0, "exclude") && word(1, "no") && word(2, "others") && is(3, &Token::RParen) {
            change(2, "");
        } else if word(0, "exclude") && (word(1, "group") || word(1, "ties")) && is(2, &Token::RParen)
            || word(0, "exclude") && word(1, "current") && word(2, "row") && is(3, &Token::RParen)
        {
            let (what, length) = match at(1) {
                Some(token) if is_word(token, "current") => ("current", 2),
                Some(token) if is_word(token, "group") => ("group", 1),
                _ => ("ties", 1),
            };
            if let Some((frame, ordered)) = frame_before(&tokens, &places[..n]) {
                change(length, "");
                let mark = format!("{EXCLUDED}('{what}') ");
                let lead = if ordered { ", " } else { "ORDER BY " };
                changes.push((frame, frame, format!("{lead}{mark}")));
            }
        }
    }
    spliced(&tokens, changes)
}

/// The tokens with texts in the places of some: from which, until which, and what stands there.
pub(super) fn spliced(
    tokens: &[TokenWithSpan],
    mut changes: Vec<(usize, usize, String)>,
) -> Vec<TokenWithSpan> {
    changes.sort_by_key(|(from, until, _)| (*from, *until));
    let (mut written, mut next) = (Vec::with_capacity(tokens.len()), 0);
    for (from, until, text) in changes {
        if from < next {
            continue;
        }
        written.extend_from_slice(&tokens[next..from]);
        let own = Tokenizer::new(&POSTGRES, &text).tokenize().unwrap_or_default();
        let span = tokens.get(from).map_or(Span::empty(), |token| token.span);
        written.extend(own.into_iter().map(|token| TokenWithSpan { token, span }));
        next = until;
    }
    written.extend_from_slice(&tokens[next..]);
    written
}

/// Whether what stands before may be what is asked of: a value, a name, or the end of a parenthesis.
fn ends_operand(token: &Token) -> bool {
    match token {
        Token::Word(word) if word.quote_style.is_none() => {
            !["as", "select", "and", "or", "not", "where", "on", "by", "then", "else", "when", "case"]
                .iter()
                .any(|text| word.value.eq_ignore_ascii_case(text))
        }
        Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_) => true,
        Token::RParen | Token::RBracket => true,
        _ => false,
    }
}

fn is_word_of(token: Option<&Token>, texts: &[&str]) -> bool {
    token.is_some_and(|token| texts.iter().any(|text| is_word(token, text)))
}

/// Where the parenthesis closes in which these places begin.
fn closing(tokens: &[TokenWithSpan], places: &[usize]) -> Option<usize> {
    let mut depth = 0usize;
    for place in places {
        match &tokens[*place].token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return Some(*place),
            Token::RParen => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Whether a word before a parenthesis is a name of ours to call, so that what is inside are arguments.
fn is_argument(token: &Token) -> bool {
    is_word(token, "table") || is_word(token, "descriptor")
}

/// Where the frame begins in which the last of these places stands, and whether there is an ORDER BY before it.
fn frame_before(tokens: &[TokenWithSpan], places: &[usize]) -> Option<(usize, bool)> {
    let (mut depth, mut frame) = (0usize, None);
    for place in places.iter().rev() {
        match &tokens[*place].token {
            Token::RParen => depth += 1,
            Token::LParen if depth == 0 => return frame.map(|frame| (frame, false)),
            Token::LParen => depth -= 1,
            token
                if depth == 0 && frame.is_none() && is_word_of(Some(token), &["rows", "range", "groups"]) =>
            {
                frame = Some(*place);
            }
            token if depth == 0 && is_word(token, "order") => return frame.map(|frame| (frame, true)),
            _ => {}
        }
    }
    None
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
            ("SELECT a isnull, b AS isnull, isnull FROM t", "SELECT a IS NULL, b AS isnull, isnull FROM t"),
            ("TABLE t", "SELECT * FROM t"),
            ("CREATE TABLE a AS TABLE b", "CREATE TABLE a AS SELECT * FROM b"),
            ("SELECT a BETWEEN SYMMETRIC 2 AND 1", "SELECT a BETWEEN !! 2 AND 1"),
            ("SELECT count(*) FROM t GROUP BY ()", "SELECT count(*) FROM t GROUP BY GROUPING SETS (())"),
            (
                "SELECT 1 = ANY(VALUES (1), (2))",
                "SELECT 1 = ANY(SELECT * FROM (VALUES (1), (2)) AS __values)",
            ),
            (
                "SELECT a, max(b) FROM t GROUP BY a OPTIONS (AGGREGATE INPUT GROUP SIZE = 9)",
                "SELECT a, max(b) FROM t GROUP BY a ",
            ),
            ("SELECT trim(leading from a)", "SELECT trim(leading ' ' FROM a)"),
            (
                "SELECT sum(a) OVER (PARTITION BY f(b) ORDER BY c ROWS 2 PRECEDING EXCLUDE CURRENT ROW)",
                "SELECT sum(a) OVER (PARTITION BY f(b) ORDER BY c , __frame_without('current') ROWS 2 PRECEDING )",
            ),
            (
                "SELECT sum(a) OVER (ROWS 2 PRECEDING EXCLUDE TIES), * EXCLUDE (a)",
                "SELECT sum(a) OVER (ORDER BY __frame_without('ties') ROWS 2 PRECEDING ), * EXCLUDE (a)",
            ),
            (
                "SELECT sum(a) OVER (ROWS 2 PRECEDING EXCLUDE NO OTHERS)",
                "SELECT sum(a) OVER (ROWS 2 PRECEDING )",
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
