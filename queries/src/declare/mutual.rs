//! `WITH MUTUALLY RECURSIVE`, which the parser does not know: written as a WITH RECURSIVE whose first relation says what was meant.
use crate::DeclareError;
use dataflows::plan::Limit;
use datafusion::sql::sqlparser::ast::{Cte, Query};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

/// What the name of the marking relation begins with; no name that can be written does.
const MARK: &str = "\u{0}mutually";
/// What the marking relation reads: planned anywhere but at the top of a query, it is not found, and that is the message.
const MISPLACED: &str = "WITH MUTUALLY RECURSIVE below the top of a query";

/// The relations of a WITH MUTUALLY RECURSIVE.
pub(crate) struct Mutual {
    /// As they were written.
    pub(crate) relations: Vec<Cte>,
    /// When the recursion stops.
    pub(crate) limit: Limit,
}

/// The same tokens in the parser's words. The new ones stand where MUTUALLY stood, so that errors name the right place.
pub(super) fn rewritten(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, DeclareError> {
    let words: Vec<usize> =
        (0..tokens.len()).filter(|i| !matches!(tokens[*i].token, Token::Whitespace(_))).collect();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|i| is_word(&tokens[*i].token, word));
    let mut found = Vec::with_capacity(tokens.len());
    let mut copied = 0;
    for at in 0..words.len() {
        if !(is(at, "WITH") && is(at + 1, "MUTUALLY") && is(at + 2, "RECURSIVE")) {
            continue;
        }
        let span = tokens[words[at + 1]].span;
        found.extend_from_slice(&tokens[copied..words[at + 1]]);
        found.push(tokens[words[at + 2]].clone());
        copied = words[at + 2] + 1;
        let mut limit = Limit::DEFAULT;
        if words.get(at + 3).is_some_and(|i| tokens[*i].token == Token::LParen) {
            let option: Vec<&Token> = words[at + 4..].iter().map(|i| &tokens[*i].token).take(6).collect();
            let (read, length) = limit_of(&option).ok_or_else(|| DeclareError::Syntax {
                message: "expected RETURN AT RECURSION LIMIT n or ERROR AT RECURSION LIMIT n, with n at least 1, after WITH MUTUALLY RECURSIVE (".into(),
                at: Some((tokens[words[at + 3]].span.start.line, tokens[words[at + 3]].span.start.column)),
            })?;
            limit = read;
            copied = words[at + 3 + length] + 1;
        }
        found.extend(marking(limit, span));
    }
    found.extend_from_slice(&tokens[copied..]);
    Ok(found)
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

/// The limit, and at which of the words behind the parenthesis it is closed, from 1.
fn limit_of(option: &[&Token]) -> Option<(Limit, usize)> {
    let is = |at: usize, word: &str| option.get(at).is_some_and(|token| is_word(token, word));
    let (returns, from) = match () {
        () if is(0, "RETURN") && is(1, "AT") => (true, 2),
        () if is(0, "ERROR") && is(1, "AT") => (false, 2),
        () => (false, 0),
    };
    let Some(Token::Number(number, _)) = option.get(from + 2) else { return None };
    let closed =
        is(from, "RECURSION") && is(from + 1, "LIMIT") && option.get(from + 3) == Some(&&Token::RParen);
    let rounds: u64 = number.parse().ok().filter(|rounds| (1..=MAX).contains(rounds))?;
    closed.then_some((Limit { rounds, returns }, from + 4))
}

/// More rounds than this are not waited for.
const MAX: u64 = 1_000_000_000;

/// `"mark" AS (SELECT * FROM "misplaced"),`
fn marking(limit: Limit, span: Span) -> impl Iterator<Item = TokenWithSpan> {
    let name = format!("{MARK} {} {}", limit.rounds, limit.returns);
    let tokens = [
        Token::make_word(&name, Some('"')),
        Token::make_keyword("AS"),
        Token::LParen,
        Token::make_keyword("SELECT"),
        Token::Mul,
        Token::make_keyword("FROM"),
        Token::make_word(MISPLACED, Some('"')),
        Token::RParen,
        Token::Comma,
    ];
    debug_assert!(matches!(&tokens[1], Token::Word(w) if w.keyword == Keyword::AS));
    tokens.into_iter().map(move |token| TokenWithSpan::new(token, span))
}

/// Whether a name that a statement reads is only the mark's.
pub(super) fn is_mark(name: &str) -> bool {
    name == MISPLACED
}

/// Takes the relations of a WITH MUTUALLY RECURSIVE out of a query that has one at its top.
pub(crate) fn taken(mut query: Query) -> (Query, Option<Mutual>) {
    let limit = query.with.as_ref().and_then(|with| {
        let mut parts = with.cte_tables.first()?.alias.name.value.strip_prefix(MARK)?.split_whitespace();
        Some(Limit { rounds: parts.next()?.parse().ok()?, returns: parts.next()? == "true" })
    });
    let Some(limit) = limit else { return (query, None) };
    let relations = query.with.take().map(|with| with.cte_tables).unwrap_or_default();
    (query, Some(Mutual { relations: relations.into_iter().skip(1).collect(), limit }))
}
