//! What a text of statements may have, so that reading it cannot take the stack or the memory of the process. Checked before the parser.
//!
//! A syntax tree is as deep as its parentheses and its chains (`a + b + c`, `x UNION y UNION z`), and whoever walks it, prints it or
//! drops it goes as deep. So both are bounded together: for each open parenthesis, the words and signs since the last comma.
use crate::DeclareError;
use dataflows::contain;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use std::cell::Cell;

/// Bytes of a text.
pub(crate) const TEXT_BYTES_MAX: usize = 16 << 20;
/// Words, signs and spaces of a text: each is a value of its own when it is read.
const SIGNS_MAX: usize = 2_000_000;
/// Bytes of a name. PostgreSQL cuts names at 63; here none is cut.
const NAME_BYTES_MAX: usize = 1_024;
/// Open parentheses and brackets.
const NESTING_MAX: usize = 256;
/// Words and signs of one chain, with those around it.
const CHAIN_MAX: usize = 4_096;

/// Refuses a text that is too long, before it is cut into words.
pub(crate) fn text(sql: &str) -> Result<(), DeclareError> {
    if sql.len() > TEXT_BYTES_MAX {
        return Err(DeclareError::Invalid(format!(
            "the text has {} bytes, and at most {TEXT_BYTES_MAX} are read: send it in parts",
            sql.len()
        )));
    }
    if signs(sql.as_bytes()) > SIGNS_MAX {
        return Err(DeclareError::Invalid(format!(
            "the text has more than {SIGNS_MAX} words, signs and spaces: send it in parts, or insert the values into a table and join it"
        )));
    }
    Ok(())
}

/// At least as many as there are tokens, literals in quotes counted once.
fn signs(text: &[u8]) -> usize {
    let (mut count, mut in_word, mut quote) = (0, false, None);
    for byte in text {
        if let Some(open) = quote {
            quote = (*byte != open).then_some(open);
            continue;
        }
        let is_word = byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
        count += usize::from(!is_word || !in_word);
        in_word = is_word;
        quote = matches!(byte, b'\'' | b'"').then_some(*byte);
    }
    count
}

/// Refuses what is nested too deep, chains that are too long, and names that are.
pub(super) fn tokens(tokens: &[TokenWithSpan]) -> Result<(), DeclareError> {
    // For each open parenthesis: the chain so far, and whether it has the arguments of a call.
    let mut open: Vec<(usize, bool)> = vec![(0, false)];
    let (mut total, mut calls, mut work) = (0, 0_u32, 0_u64);
    let mut before = &Token::EOF;
    for token in tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))) {
        let last = open.len() - 1;
        match &token.token {
            Token::Comma | Token::SemiColon => total -= std::mem::take(&mut open[last].0),
            Token::LParen | Token::LBracket | Token::LBrace => {
                (open[last].0, total) = (open[last].0 + 1, total + 1);
                let call = token.token == Token::LParen && is_callable(before);
                calls += u32::from(call);
                open.push((0, call));
            }
            Token::RParen | Token::RBracket | Token::RBrace if last > 0 => {
                let (chain, call) = open.pop().expect("the last of them");
                (total, calls) = (total - chain, calls - u32::from(call));
            }
            Token::Word(word) if word.value.len() > NAME_BYTES_MAX => {
                let text = format!("a name of {} bytes: at most {NAME_BYTES_MAX} are kept", word.value.len());
                return Err(at(token, text));
            }
            _ => (open[last].0, total) = (open[last].0 + 1, total + 1),
        }
        before = &token.token;
        if calls > CALLS_FREE {
            work = work.saturating_add(1 << calls.min(63));
        }
        if open.len() > NESTING_MAX {
            return Err(at(token, format!("the statement is nested deeper than {NESTING_MAX} parentheses")));
        }
        if work > CALLS_WORK_MAX {
            let text =
                format!("{calls} calls are nested in each other: write inner ones in a subquery or in WITH");
            return Err(at(token, text));
        }
        if total > CHAIN_MAX {
            let text = "words and signs: write IN (..) or join VALUES in the place of many ORs, or split the statement";
            return Err(at(token, format!("one expression or chain of more than {CHAIN_MAX} {text}")));
        }
    }
    Ok(())
}

/// Whether a parenthesis after this one may begin the arguments of a call.
fn is_callable(token: &Token) -> bool {
    let Token::Word(word) = token else { return false };
    !matches!(
        word.keyword,
        Keyword::ALL
            | Keyword::AND
            | Keyword::ANY
            | Keyword::AS
            | Keyword::BETWEEN
            | Keyword::BY
            | Keyword::CASE
            | Keyword::DISTINCT
            | Keyword::ELSE
            | Keyword::EXCEPT
            | Keyword::EXISTS
            | Keyword::FROM
            | Keyword::HAVING
            | Keyword::IN
            | Keyword::INTERSECT
            | Keyword::INTO
            | Keyword::IS
            | Keyword::JOIN
            | Keyword::LATERAL
            | Keyword::LIKE
            | Keyword::MATERIALIZED
            | Keyword::NOT
            | Keyword::ON
            | Keyword::OR
            | Keyword::OVER
            | Keyword::SELECT
            | Keyword::SETS
            | Keyword::SOME
            | Keyword::THEN
            | Keyword::UNION
            | Keyword::USING
            | Keyword::VALUES
            | Keyword::WHEN
            | Keyword::WHERE
    )
}

fn at(token: &TokenWithSpan, message: String) -> DeclareError {
    let start = token.span.start;
    DeclareError::Syntax { message, at: Some((start.line, start.column)) }
}

/// The parser reads each argument twice, to see whether it has a name: what is nested so many calls deep, 2 to that power times.
const CALLS_FREE: u32 = 6;
/// How often it may read a word or sign inside deeper calls, all together.
const CALLS_WORK_MAX: u64 = 1 << 21;

/// Stack for the deepest statement that is read; what is not used of it costs nothing.
const STACK_BYTES: usize = 512 << 20;

thread_local! {
    static IS_ROOMY: Cell<bool> = const { Cell::new(false) };
}

/// Does what reads, plans or runs a statement where there is stack for the deepest one. A panic becomes an error; others go on.
pub fn contained<T: Send>(work: impl FnOnce() -> Result<T, DeclareError> + Send) -> Result<T, DeclareError> {
    let caught = move || {
        let work = || {
            contain::fault(|| "statement".into());
            work()
        };
        contain::contain(work).unwrap_or_else(|why| Err(failed(&why)))
    };
    if IS_ROOMY.get() {
        return caught();
    }
    let thread = std::thread::Builder::new().name("statement".into()).stack_size(STACK_BYTES);
    std::thread::scope(|scope| {
        let roomy = move || {
            IS_ROOMY.set(true);
            caught()
        };
        let spawned = thread.spawn_scoped(scope, roomy);
        let spawned =
            spawned.map_err(|why| DeclareError::Unavailable(format!("cannot start a statement: {why}")))?;
        spawned.join().unwrap_or_else(|panic| Err(failed(&contain::said(&*panic))))
    })
}

fn failed(why: &str) -> DeclareError {
    DeclareError::Internal(format!("the statement failed inside, and others go on: {why}"))
}

#[cfg(test)]
mod tests {
    use super::super::text::statements;

    #[test]
    fn what_is_too_deep_or_too_long_is_refused() {
        let cases = [
            (format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000)), "deeper than 256"),
            (format!("SELECT 1{}", " + 1".repeat(100_000)), "more than 4096"),
            (format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(100_000)), "more than 4096"),
            (format!("SELECT {}1", "- ".repeat(100_000)), "more than 4096"),
            (format!("SELECT {}true", "NOT ".repeat(1_000)), "line 1, column"),
            (format!("SELECT 1{}", "::int".repeat(100_000)), "more than 4096"),
            (format!("SELECT a{}", "[1]".repeat(100_000)), "more than 4096"),
            (format!("SELECT {}1{}", "(1, ".repeat(300), ")".repeat(300)), "deeper than 256"),
            (format!("SELECT 1 AS {}", "a".repeat(1 << 20)), "at most 1024"),
            (format!("SELECT 1 IN ({}1)", "1,".repeat(1_000_000)), "more than 2000000"),
            (format!("SELECT {}1{}", "f(".repeat(30), ")".repeat(30)), "calls are nested"),
            (" ".repeat(17 << 20), "at most 16777216"),
            ("(".repeat(1 << 20), "deeper than 256"),
        ];
        for (sql, wanted) in cases {
            let said = statements(&sql).map(|_| "read".to_owned()).unwrap_or_else(|why| why.to_string());
            assert!(said.contains(wanted), "{}: {said}", &sql[..40]);
        }
        let long = format!("SELECT * FROM t WHERE {}a = 1", "a = 1 OR ".repeat(1_000));
        assert_eq!(super::contained(|| statements(&long).map(|list| list.len())), Ok(1));
        let many =
            format!("INSERT INTO t VALUES {}(1, 'it''s', -2.5)", "(1, 'it''s', -2.5), ".repeat(50_000));
        assert_eq!(super::contained(|| statements(&many).map(|list| list.len())), Ok(1));
    }

    #[test]
    fn a_panic_is_an_error() {
        let said = super::contained::<()>(|| panic!("oh"));
        assert_eq!(
            said.map_err(|why| why.to_string()),
            Err("the statement failed inside, and others go on: oh".into())
        );
    }
}
