//! A text cut into its statements, each parsed where it stands, so that errors name lines and columns of the whole text.
use super::error;
use crate::DeclareError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use std::sync::Arc;

/// The statements, each with its own text.
pub(super) fn statements(sql: &str) -> Result<Vec<(Statement, Arc<str>)>, DeclareError> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .tokenize_with_location()
        .map_err(|why| error::from_parser(&ParserError::from(why), None))?;
    tokens
        .split(|token| token.token == Token::SemiColon)
        .filter_map(|part| {
            let is_word = |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::EOF);
            let first = part.iter().find(is_word)?;
            let last = part.iter().rfind(is_word)?;
            Some((part, first.span.start, last.span.end))
        })
        .map(|(part, start, end)| {
            let statement = one(part.to_vec(), end)?;
            Ok((statement, sql[byte_of(sql, start)..byte_of(sql, end)].into()))
        })
        .collect()
}

fn one(tokens: Vec<TokenWithSpan>, end: Location) -> Result<Statement, DeclareError> {
    let at_end = Some((end.line, end.column));
    let mut parser = DFParserBuilder::new(crate::rewrite::tokens::clean(tokens)?)
        .with_dialect(&PostgreSqlDialect {})
        .build()
        .map_err(|why| error::from_datafusion_at(why, at_end))?;
    let mut found = parser.parse_statements().map_err(|why| error::from_datafusion_at(why, at_end))?;
    match found.len() {
        1 => Ok(found.pop_front().expect("there is one")),
        _ => Err(DeclareError::Syntax { message: "expected one statement".into(), at: at_end }),
    }
}

/// Lines and columns count from 1, columns in characters.
fn byte_of(sql: &str, at: Location) -> usize {
    let line_start: usize = sql.split_inclusive('\n').take(at.line as usize - 1).map(str::len).sum();
    let line = &sql[line_start..];
    line_start + line.char_indices().nth(at.column as usize - 1).map_or(line.len(), |(byte, _)| byte)
}
