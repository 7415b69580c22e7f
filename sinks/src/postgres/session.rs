//! `Session`: a connection, and its errors by what can be done about them.
use super::address::Address;
use crate::SinkError;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// A connection.
pub(super) struct Session {
    client: Client,
}

/// A row of text cells.
pub(super) type Cells = Vec<Option<String>>;

impl Session {
    /// Reaches the server.
    pub(super) async fn connect(address: &Address) -> Result<Session, SinkError> {
        let client = address.connect().await.map_err(|why| failed("reach the server", &why))?;
        Ok(Session { client })
    }

    /// Runs statements whose rows mean nothing.
    pub(super) async fn run(&self, tried: &str, sql: &str) -> Result<(), SinkError> {
        self.client.batch_execute(sql).await.map_err(|why| failed(tried, &why))
    }

    /// The rows of the statements, and how many rows the last of them touched.
    pub(super) async fn ask(&self, tried: &str, sql: &str) -> Result<(Vec<Cells>, u64), SinkError> {
        let messages = self.client.simple_query(sql).await.map_err(|why| failed(tried, &why))?;
        let (mut rows, mut touched) = (vec![], 0);
        for message in messages {
            match message {
                SimpleQueryMessage::Row(row) => {
                    rows.push((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => touched = count,
                _ => {}
            }
        }
        Ok((rows, touched))
    }

    /// Runs one statement with parameters of said types, without a name that a pooler would have to know.
    pub(super) async fn execute(
        &self,
        tried: &str,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64, SinkError> {
        self.client.execute_typed(sql, parameters).await.map_err(|why| failed(tried, &why))
    }
}

/// What an error means for the one who delivers.
pub(super) fn failed(tried: &str, why: &Error) -> SinkError {
    let Some(said) = why.as_db_error() else {
        let source = std::error::Error::source(why).map_or(String::new(), |source| format!(": {source}"));
        return SinkError::Retry(format!("cannot {tried}: {why}{source}"));
    };
    let code = said.code().code();
    let detail = said.detail().map_or(String::new(), |detail| format!(" ({detail})"));
    let text = format!("cannot {tried}: {}{detail} [{code}]", said.message());
    match code {
        // A table, a column or an index that should be there is not: somebody changed the schema.
        "42P01" | "42703" | "42P10" | "42804" => SinkError::Moved(text),
        // Two that open a new schema at once.
        "23505" | "42P06" | "42P07" if tried == "open the store" => SinkError::Retry(text),
        "40001" | "40P01" | "55P03" | "57014" | "25P03" | "25P02" => SinkError::Retry(text),
        _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => SinkError::Retry(text),
        _ => SinkError::Fatal(text),
    }
}

/// Whether a lock could not be had in time.
pub(super) fn is_locked(why: &SinkError) -> bool {
    why.to_string().ends_with("[55P03]")
}

/// A name in double quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
