//! `DECLARE`, `FETCH`, `CLOSE`: rows, or the changes of a view, taken in parts.
use super::command::Command;
use super::fault::fault;
use super::subscribe::Changes;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::tokenizer::Token;
use datafusion_postgres::pgwire::error::PgWireResult;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Cursors that one client may have.
pub(super) const CURSORS_MAX: usize = 100;

/// Rows that wait to be fetched.
pub(super) struct Cursor {
    pub(super) schema: SchemaRef,
    /// Whether it outlives its transaction.
    pub(super) holds: bool,
    waiting: VecDeque<RecordBatch>,
    changes: Option<Changes>,
}

impl Cursor {
    /// Over the rows of a query.
    pub(super) fn of_rows(schema: SchemaRef, batches: Vec<RecordBatch>, holds: bool) -> Cursor {
        Cursor { schema, holds, waiting: batches.into(), changes: None }
    }

    /// Over changes as they come.
    pub(super) fn of_changes(changes: Changes, holds: bool) -> Cursor {
        Cursor { schema: changes.schema(), holds, waiting: VecDeque::new(), changes: Some(changes) }
    }

    /// The next rows. Changes are waited for: until there is one at least, or as long as is said.
    pub(super) async fn fetch(&mut self, wanted: &Fetch) -> PgWireResult<Vec<RecordBatch>> {
        if let Some(changes) = &mut self.changes {
            let count =
                |waiting: &VecDeque<RecordBatch>| waiting.iter().map(RecordBatch::num_rows).sum::<usize>();
            let until = wanted.timeout.map(|timeout| Instant::now() + timeout);
            loop {
                let have = count(&self.waiting);
                if wanted.rows.is_some_and(|rows| have >= rows) {
                    break;
                }
                let more = match until {
                    Some(until) => timeout_at(until, changes.next()).await,
                    None if have == 0 => Ok(changes.next().await),
                    None => timeout_at(Instant::now(), changes.next()).await,
                };
                match more {
                    Ok(more) => self.waiting.extend(more?),
                    Err(_) => break,
                }
            }
        }
        let (mut left, mut found) = (wanted.rows.unwrap_or(usize::MAX), vec![]);
        while left > 0
            && let Some(batch) = self.waiting.pop_front()
        {
            let step = batch.num_rows().min(left);
            if step < batch.num_rows() {
                self.waiting.push_front(batch.slice(step, batch.num_rows() - step));
            }
            found.push(batch.slice(0, step));
            left -= step;
        }
        Ok(found)
    }
}

/// A FETCH.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    pub(super) cursor: String,
    /// All, where none are said.
    rows: Option<usize>,
    timeout: Option<Duration>,
}

impl Fetch {
    /// What a command asks for.
    pub(super) fn parse(command: &Command) -> PgWireResult<Fetch> {
        let wrong =
            || fault("42601", "write FETCH [FORWARD] [n | ALL] [FROM] cursor [WITH (timeout = '1s')]".into());
        let word = |at: usize| command.word(at).unwrap_or_default();
        let (mut at, mut rows) = (1, Some(1));
        match word(at).as_str() {
            "NEXT" | "FORWARD" => at += 1,
            "PRIOR" | "BACKWARD" | "FIRST" | "LAST" | "ABSOLUTE" | "RELATIVE" => {
                return Err(fault("0A000", "cursors go forward only: write FETCH FORWARD n".into()));
            }
            _ => {}
        }
        match command.tokens.get(at) {
            Some((Token::Number(text, _), _)) => {
                rows = Some(text.parse().map_err(|_| wrong())?);
                at += 1;
            }
            _ if word(at) == "ALL" => {
                rows = None;
                at += 1;
            }
            _ => {}
        }
        if matches!(word(at).as_str(), "FROM" | "IN") {
            at += 1;
        }
        let cursor = name(command, at).ok_or_else(wrong)?;
        let rest: Vec<&Token> = command.tokens.iter().skip(at + 1).map(|(token, _)| token).collect();
        let timeout = match rest.as_slice() {
            [] => None,
            [Token::Word(with), Token::LParen, Token::Word(timeout), Token::Eq, value, Token::RParen]
                if with.value.eq_ignore_ascii_case("with")
                    && timeout.value.eq_ignore_ascii_case("timeout") =>
            {
                let text = match value {
                    Token::SingleQuotedString(text) => text.clone(),
                    // Seconds, as Materialize has it.
                    Token::Number(text, _) => format!("{text}s"),
                    _ => return Err(wrong()),
                };
                Some(super::settings::duration(&text)?.unwrap_or_default())
            }
            _ => return Err(wrong()),
        };
        Ok(Fetch { cursor, rows, timeout })
    }
}

/// A DECLARE: the cursor's name, whether it outlives its transaction, and where its query begins.
pub(super) fn declared(command: &Command) -> PgWireResult<(String, bool, usize)> {
    let wrong = || fault("42601", "write DECLARE name CURSOR [WITH HOLD] FOR query".into());
    let cursor = name(command, 1).ok_or_else(wrong)?;
    let word = |at: usize| command.word(at).unwrap_or_default();
    let mut at = 2;
    loop {
        match (word(at).as_str(), word(at + 1).as_str()) {
            ("BINARY", _) => {
                return Err(fault("0A000", "BINARY cursors are not supported: leave the word out".into()));
            }
            ("SCROLL", _) => {
                return Err(fault("0A000", "cursors go forward only: leave SCROLL out".into()));
            }
            ("NO", "SCROLL") => at += 2,
            ("INSENSITIVE" | "ASENSITIVE", _) => at += 1,
            ("CURSOR", _) => break,
            _ => return Err(wrong()),
        }
    }
    let (holds, at) = match (word(at + 1).as_str(), word(at + 2).as_str()) {
        ("WITH", "HOLD") => (true, at + 3),
        ("WITHOUT", "HOLD") => (false, at + 3),
        _ => (false, at + 1),
    };
    if word(at) != "FOR" || command.tokens.len() <= at + 1 {
        return Err(wrong());
    }
    Ok((cursor, holds, at + 1))
}

/// The name at a place.
pub(super) fn name(command: &Command, at: usize) -> Option<String> {
    match &command.tokens.get(at)?.0 {
        Token::Word(word) if word.quote_style.is_some() => Some(word.value.clone()),
        Token::Word(word) => Some(word.value.to_lowercase()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::single;
    use super::*;

    #[test]
    fn a_fetch_is_read_as_it_is_spelled() {
        let fetch = |sql: &str| Fetch::parse(&single(sql).expect("text").expect("one")).ok();
        let of = |rows, seconds: Option<u64>| {
            Some(Fetch { cursor: "c".into(), rows, timeout: seconds.map(Duration::from_secs) })
        };
        assert_eq!(fetch("FETCH c"), of(Some(1), None));
        assert_eq!(fetch("FETCH ALL c"), of(None, None));
        assert_eq!(fetch("FETCH FORWARD 20 FROM \"c\""), of(Some(20), None));
        assert_eq!(fetch("fetch 5 in c with (timeout='2s')"), of(Some(5), Some(2)));
        assert_eq!(fetch("FETCH BACKWARD 1 c"), None);
        assert_eq!(fetch("FETCH 1 c WITH (snapshot)"), None);
    }
}
