//! `Command`: one statement of a message, with its tokens, and who answers it.
use super::fault::fault;
use crate::DeclareError;
use crate::declare::error::from_parser;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer, Whitespace};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::PG_CATALOG_TABLES;
use datafusion_postgres::pgwire::error::PgWireResult;
use std::ops::Range;
use std::sync::Arc;

/// One statement.
#[derive(Clone, Debug)]
pub(super) struct Command {
    /// Its own text.
    pub(super) sql: Arc<str>,
    /// Its tokens but for spaces and comments, each with its bytes in `sql`.
    pub(super) tokens: Arc<[(Token, Range<usize>)]>,
}

/// Who answers a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Begin,
    Commit,
    Rollback,
    Savepoint,
    Release,
    RollbackTo,
    Set,
    Reset,
    Show,
    /// `DISCARD`, `DEALLOCATE`: the tag.
    Forget(&'static str),
    /// Part of PostgreSQL that is not here: what to do instead.
    Absent(&'static str),
    /// A view's changes, as they come.
    Subscribe,
    /// `COPY .. TO STDOUT`.
    Copy,
    /// `DECLARE`, `FETCH`, `CLOSE`.
    Declare,
    Fetch,
    Close,
    /// The session answers, and something may have changed.
    Write,
    /// The session answers.
    Read,
}

/// The statements of a text.
pub(super) fn commands(sql: &str) -> PgWireResult<Vec<Command>> {
    crate::declare::text::check(sql).map_err(super::fault::of)?;
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .tokenize_with_location()
        .map_err(|why| super::fault::of(from_parser(&ParserError::from(why), None)))?;
    let mut place = Place { sql, byte: 0, line: 1, column: 1 };
    let placed: Vec<(Token, Range<usize>)> = tokens
        .into_iter()
        .map(|token| {
            let start = place.byte_of(token.span.start);
            let end = place.byte_of(token.span.end);
            (token.token, start..end)
        })
        .filter(|(token, _)| !is_space(token) && *token != Token::EOF)
        .collect();
    let statement = |part: &[(Token, Range<usize>)]| {
        let (start, end) = (part.first()?.1.start, part.last()?.1.end);
        let tokens =
            part.iter().map(|(token, at)| (token.clone(), at.start - start..at.end - start)).collect();
        Some(Command { sql: sql[start..end].into(), tokens })
    };
    Ok(placed.split(|(token, _)| *token == Token::SemiColon).filter_map(statement).collect())
}

fn is_space(token: &Token) -> bool {
    matches!(
        token,
        Token::Whitespace(
            Whitespace::Space
                | Whitespace::Newline
                | Whitespace::Tab
                | Whitespace::SingleLineComment { .. }
                | Whitespace::MultiLineComment(_)
        )
    )
}

/// Where a reader of the text is. Tokens come in order, so the text is walked once.
struct Place<'a> {
    sql: &'a str,
    byte: usize,
    line: u64,
    column: u64,
}

impl Place<'_> {
    /// Lines and columns count from 1, columns in characters.
    fn byte_of(&mut self, at: Location) -> usize {
        for c in self.sql[self.byte..].chars() {
            if (self.line, self.column) >= (at.line, at.column) {
                break;
            }
            self.byte += c.len_utf8();
            (self.line, self.column) =
                if c == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        }
        self.byte
    }
}

impl Command {
    /// The word at a place, in capitals, where it is an unquoted one.
    pub(super) fn word(&self, at: usize) -> Option<String> {
        match &self.tokens.get(at)?.0 {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
            _ => None,
        }
    }

    /// The part of it between two tokens, as a statement of its own.
    pub(super) fn part(&self, from: usize, to: usize) -> Command {
        let tokens = self.tokens.get(from..to).unwrap_or_default();
        let (Some((_, first)), Some((_, last))) = (tokens.first(), tokens.last()) else {
            return Command { sql: "".into(), tokens: [].into() };
        };
        let start = first.start;
        let sql = self.sql[start..last.end].into();
        let moved = tokens.iter().map(|(token, at)| (token.clone(), at.start - start..at.end - start));
        Command { sql, tokens: moved.collect() }
    }

    /// Who answers it.
    pub(super) fn kind(&self) -> Kind {
        let word = |at| self.word(at).unwrap_or_default();
        match (word(0).as_str(), word(1).as_str()) {
            ("BEGIN", _) | ("START", "TRANSACTION") => Kind::Begin,
            ("COMMIT" | "END", "PREPARED") | ("PREPARE", "TRANSACTION") => {
                Kind::Absent("two-phase commit is not supported: every statement is kept by itself")
            }
            ("COMMIT" | "END", _) => Kind::Commit,
            ("ROLLBACK" | "ABORT", "TO") => Kind::RollbackTo,
            ("ROLLBACK", _) if word(2) == "TO" => Kind::RollbackTo,
            ("ROLLBACK" | "ABORT", _) => Kind::Rollback,
            ("SAVEPOINT", _) => Kind::Savepoint,
            ("RELEASE", _) => Kind::Release,
            ("SET", _) => Kind::Set,
            ("RESET", _) => Kind::Reset,
            ("SHOW", "TABLES" | "VIEWS" | "COLUMNS" | "CREATE" | "MATERIALIZED") => Kind::Read,
            ("SHOW", _) => Kind::Show,
            ("DISCARD", _) => Kind::Forget("DISCARD ALL"),
            ("DEALLOCATE", _) => Kind::Forget("DEALLOCATE ALL"),
            ("UNLISTEN", _) => Kind::Forget("UNLISTEN"),
            ("PREPARE" | "EXECUTE", _) => Kind::Absent(
                "PREPARE and EXECUTE as SQL are not supported: let the driver prepare the statement",
            ),
            ("SUBSCRIBE", _) => Kind::Subscribe,
            ("DECLARE", _) => Kind::Declare,
            ("FETCH", _) => Kind::Fetch,
            ("CLOSE", _) => Kind::Close,
            ("MOVE", _) => Kind::Absent("MOVE is not supported: FETCH the rows and leave them"),
            ("LISTEN" | "NOTIFY", _) => {
                Kind::Absent("LISTEN and NOTIFY are not supported: SUBSCRIBE to a view instead")
            }
            ("COPY", _) => Kind::Copy,
            ("LOCK" | "GRANT" | "REVOKE" | "VACUUM" | "ANALYZE" | "CLUSTER" | "REINDEX", _) => Kind::Absent(
                "this statement administers PostgreSQL, and nothing here corresponds to it: leave it out",
            ),
            ("INSERT" | "UPDATE" | "DELETE" | "CREATE" | "DROP" | "ALTER" | "TRUNCATE" | "MERGE", _) => {
                Kind::Write
            }
            ("WITH", _) if self.writes_below() => Kind::Write,
            _ => Kind::Read,
        }
    }

    fn writes_below(&self) -> bool {
        (1..self.tokens.len())
            .filter_map(|at| self.word(at))
            .any(|word| matches!(word.as_str(), "INSERT" | "UPDATE" | "DELETE" | "MERGE"))
    }

    /// Whether it asks about the system: reads its tables, or calls its functions without reading ours.
    pub(super) fn asks_system(&self, is_ours: &dyn Fn(&str) -> bool) -> bool {
        let names: Vec<(usize, String)> = (0..self.tokens.len())
            .filter_map(|at| match &self.tokens[at].0 {
                Token::Word(word) if word.quote_style.is_some() => Some((at, word.value.clone())),
                Token::Word(word) => Some((at, word.value.to_lowercase())),
                _ => None,
            })
            .collect();
        let token = |at: usize| self.tokens.get(at).map(|(token, _)| token);
        let before = |at: usize| at.checked_sub(1).and_then(token);
        let reads = names.iter().any(|(at, name)| {
            let qualifies = token(at + 1) == Some(&Token::Period) && before(*at) != Some(&Token::Period);
            qualifies && matches!(name.as_str(), "pg_catalog" | "information_schema")
                || PG_CATALOG_TABLES.contains(&name.as_str()) && !is_ours(name)
                || name.starts_with("pg_") && !is_ours(name) && self.is_source(*at)
        });
        let calls = names.iter().any(|(at, name)| {
            token(at + 1) == Some(&Token::LParen) && is_system_function(name)
                || before(*at) == Some(&Token::DoubleColon) && name.starts_with("reg")
                || matches!(
                    name.as_str(),
                    "current_user" | "session_user" | "current_role" | "current_catalog" | "current_schema"
                )
        });
        reads
            || calls && !names.iter().any(|(at, name)| token(at + 1) != Some(&Token::LParen) && is_ours(name))
    }

    /// Whether the token before is one behind which a table stands.
    fn is_source(&self, at: usize) -> bool {
        at.checked_sub(1)
            .and_then(|before| self.word(before))
            .is_some_and(|word| word == "FROM" || word == "JOIN")
    }

    /// The highest parameter.
    pub(super) fn parameters(&self) -> PgWireResult<usize> {
        let mut highest = 0;
        for (token, _) in self.tokens.iter() {
            if let Token::Placeholder(text) = token {
                highest = highest.max(parameter(text)?);
            }
        }
        Ok(highest)
    }
}

/// The query of a table's rows: `table`, or `table (column, ..)`.
pub(super) fn of_table(named: &Command) -> PgWireResult<Command> {
    let cut = named.tokens.iter().position(|(token, _)| *token == Token::LParen);
    let (name, columns) = match cut {
        Some(at) => {
            let columns = named.part(at + 1, named.tokens.len().saturating_sub(1));
            (named.part(0, at).sql, columns.sql)
        }
        None => (named.sql.clone(), "*".into()),
    };
    let wrong = || fault("42601", "COPY names a table and its columns, or a query in parentheses".into());
    single(&format!("SELECT {columns} FROM {name}"))?.ok_or_else(wrong)
}

fn is_system_function(name: &str) -> bool {
    name.starts_with("pg_")
        || (name.starts_with("has_") && name.ends_with("_privilege"))
        || matches!(
            name,
            "version"
                | "current_database"
                | "current_schemas"
                | "current_schema"
                | "current_setting"
                | "set_config"
                | "obj_description"
                | "col_description"
                | "shobj_description"
                | "format_type"
                | "to_regclass"
                | "to_regtype"
                | "to_regnamespace"
                | "quote_ident"
                | "inet_server_addr"
                | "inet_server_port"
                | "txid_current"
        )
}

fn parameter(text: &str) -> PgWireResult<usize> {
    match text.strip_prefix('$').and_then(|digits| digits.parse().ok()) {
        Some(number @ 1..=65_535) => Ok(number),
        _ => Err(fault("42P02", format!("there is no parameter {text}: parameters are $1, $2, ..."))),
    }
}

/// The one statement of a text to prepare; none if it is empty.
pub(super) fn single(sql: &str) -> PgWireResult<Option<Command>> {
    let mut found = commands(sql)?;
    match found.len() {
        0 | 1 => Ok(found.pop()),
        _ => Err(super::fault::of(DeclareError::Syntax {
            message: "cannot insert multiple commands into a prepared statement".into(),
            at: None,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_its_semicolons_only() {
        let sql = "select 'a;b' ; -- c;d\n insert into \"é;\" values ($1, '$2', $2) ;;";
        let found = commands(sql).expect("it is text");
        let texts: Vec<&str> = found.iter().map(|command| &*command.sql).collect();
        assert_eq!(texts, ["select 'a;b'", "insert into \"é;\" values ($1, '$2', $2)"]);
        assert_eq!(found[1].parameters().expect("they are numbers"), 2);
    }

    #[test]
    fn the_system_is_asked_by_its_own_names_only() {
        let ours = |name: &str| matches!(name, "orders" | "pg_type");
        let asks = |sql: &str| commands(sql).expect("it is text")[0].asks_system(&ours);
        assert!(asks("SELECT oid FROM pg_catalog.pg_class"));
        assert!(asks("SELECT relname FROM pg_class"));
        assert!(asks("SELECT version()"));
        assert!(asks("SELECT current_schema"));
        assert!(asks("SELECT table_name FROM information_schema.tables"));
        assert!(!asks("SELECT * FROM orders WHERE note = 'pg_catalog.pg_class'"));
        assert!(!asks("SELECT current_database(), count(*) FROM orders"));
        assert!(!asks("SELECT * FROM pg_type"));
        assert!(!asks("SELECT 1"));
    }
}
