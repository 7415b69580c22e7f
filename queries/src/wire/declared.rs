//! The cursors of a connection: made, read and closed by statements.
use super::command::{self, Command, Kind};
use super::connection::{Connection, Prepared, Reply};
use super::cursor::{self, CURSORS_MAX, Cursor, Fetch};
use super::fault::fault;
use datafusion::common::ScalarValue;
use datafusion_postgres::pgwire::error::PgWireResult;
use std::sync::Arc;

impl Connection {
    /// DECLARE.
    pub(super) async fn declare(&self, command: &Command, values: Vec<ScalarValue>) -> PgWireResult<Reply> {
        let (name, holds, from) = cursor::declared(command)?;
        let query = command.part(from, command.tokens.len());
        if self.state().cursors.contains_key(&name) {
            return Err(fault("42P03", format!("cursor {name:?} already exists")));
        }
        if self.state().cursors.len() >= CURSORS_MAX {
            return Err(fault("53400", format!("{CURSORS_MAX} cursors are open already: CLOSE some")));
        }
        let cursor = match query.kind() {
            Kind::Subscribe => {
                let changes = self.changes(&query, 0, query.tokens.len()).await?;
                Cursor::of_changes(changes, holds)
            }
            _ => {
                let (schema, batches) = self.rows(&query, values).await?;
                Cursor::of_rows(schema, batches, holds)
            }
        };
        self.state().cursors.insert(name, Arc::new(tokio::sync::Mutex::new(cursor)));
        Ok(Reply::Done("DECLARE CURSOR".into()))
    }

    /// FETCH.
    pub(super) async fn fetch(&self, command: &Command) -> PgWireResult<Reply> {
        let fetch = Fetch::parse(command)?;
        let cursor = self.cursor(&fetch.cursor)?;
        let mut cursor = cursor.lock().await;
        let batches = self.within(cursor.fetch(&fetch)).await?;
        Ok(Reply::Rows { schema: cursor.schema.clone(), batches, tag: "FETCH".into() })
    }

    /// CLOSE.
    pub(super) fn close(&self, command: &Command) -> PgWireResult<Reply> {
        if command.word(1).as_deref() == Some("ALL") {
            self.state().cursors.clear();
            return Ok(Reply::Done("CLOSE CURSOR ALL".into()));
        }
        let name = cursor::name(command, 1);
        let name = name.ok_or_else(|| fault("42601", "write CLOSE cursor, or CLOSE ALL".into()))?;
        self.cursor(&name)?;
        self.state().cursors.remove(&name);
        Ok(Reply::Done("CLOSE CURSOR".into()))
    }

    /// The cursor that a statement declared, and what fetches its rows.
    pub(super) async fn as_portal(&self, declared: &Prepared) -> PgWireResult<Option<(String, Prepared)>> {
        let (name, ..) = cursor::declared(&declared.command)?;
        let columns = self.cursor(&name)?.lock().await.schema.clone();
        let fetch = format!("FETCH ALL FROM \"{}\"", name.replace('"', "\"\""));
        Ok(command::single(&fetch)?.map(|command| {
            (name, Prepared { command, types: vec![], columns: Some(columns), question: None })
        }))
    }

    /// A cursor by its name.
    pub(super) fn cursor(&self, name: &str) -> PgWireResult<Arc<tokio::sync::Mutex<Cursor>>> {
        let cursor = self.state().cursors.get(name).cloned();
        cursor.ok_or_else(|| fault("34000", format!("cursor {name:?} does not exist")))
    }
}
