//! A text cut into its statements, each parsed where it stands, so that errors name lines and columns of the whole text.
use super::{bounds, dialect, error};
use crate::DeclareError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{self, Query};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use std::sync::Arc;

/// Tokens of one statement, and where its text begins and ends.
type Part<'a> = (&'a [TokenWithSpan], Location, Location);

fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, DeclareError> {
    bounds::text(sql)?;
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .tokenize_with_location()
        .map_err(|why| error::from_parser(&ParserError::from(why), None))?;
    bounds::tokens(&tokens)?;
    Ok(tokens)
}

/// Refuses a text that is too long or too deep to be read.
pub(crate) fn check(sql: &str) -> Result<(), DeclareError> {
    tokens(sql).map(|_| ())
}

fn parts(tokens: &[TokenWithSpan]) -> impl Iterator<Item = Part<'_>> {
    tokens.split(|token| token.token == Token::SemiColon).filter_map(|part| {
        let is_word = |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::EOF);
        let first = part.iter().find(is_word)?;
        let last = part.iter().rfind(is_word)?;
        Some((part, first.span.start, last.span.end))
    })
}

/// The texts of the statements, whatever they say.
pub(crate) fn texts(sql: &str) -> Result<Vec<Arc<str>>, DeclareError> {
    let tokens = tokens(sql)?;
    let mut place = Place::start(sql);
    Ok(parts(&tokens).map(|(_, start, end)| sql[place.byte_of(start)..place.byte_of(end)].into()).collect())
}

/// The statements, each with its own text.
pub(crate) fn statements(sql: &str) -> Result<Vec<(Statement, Arc<str>)>, DeclareError> {
    let tokens = tokens(sql)?;
    let mut place = Place::start(sql);
    parts(&tokens)
        .map(|(part, start, end)| {
            let statement = one(super::mutual::rewritten(part.to_vec())?, end)?;
            Ok((statement, sql[place.byte_of(start)..place.byte_of(end)].into()))
        })
        .collect()
}

/// One query.
pub(crate) fn query(sql: &str) -> Result<Box<Query>, DeclareError> {
    let mut list = statements(sql)?;
    match (list.pop(), list.is_empty()) {
        (Some((Statement::Statement(inner), _)), true) => match *inner {
            ast::Statement::Query(query) => Ok(query),
            _ => Err(DeclareError::Syntax { message: "expected a query".into(), at: None }),
        },
        _ => Err(DeclareError::Syntax { message: "expected one query".into(), at: None }),
    }
}

fn one(tokens: Vec<TokenWithSpan>, end: Location) -> Result<Statement, DeclareError> {
    let at_end = Some((end.line, end.column));
    let tokens = crate::rewrite::tokens::clean(crate::rewrite::ddl::plain(super::spelling::plain(tokens)))?;
    let mut found = dialect::parsed(&tokens, |dialect, tokens| {
        DFParserBuilder::new(tokens).with_dialect(dialect).build()?.parse_statements()
    })
    .map_err(|why| error::from_datafusion_at(why, at_end))?;
    match found.len() {
        1 => Ok(found.pop_front().expect("there is one")),
        _ => Err(DeclareError::Syntax { message: "expected one statement".into(), at: at_end }),
    }
}

/// Where a reader of a text is: places are asked in order, so that the text is walked once.
struct Place<'a> {
    rest: std::str::CharIndices<'a>,
    line: u64,
    column: u64,
}

impl<'a> Place<'a> {
    fn start(sql: &'a str) -> Place<'a> {
        Place { rest: sql.char_indices(), line: 1, column: 1 }
    }

    /// Lines and columns count from 1, columns in characters.
    fn byte_of(&mut self, at: Location) -> usize {
        while (self.line, self.column) < (at.line, at.column) {
            match self.rest.next() {
                Some((_, '\n')) => (self.line, self.column) = (self.line + 1, 1),
                Some(_) => self.column += 1,
                None => break,
            }
        }
        self.rest.offset()
    }
}
