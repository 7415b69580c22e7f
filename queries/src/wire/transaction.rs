//! What a transaction is here: a bracket that statements stand in. Each is kept by itself, so it is taken back only where nothing was
//! written.
use super::command::{Command, Kind};
use super::connection::{Connection, Reply, State};
use super::cursor;
use super::fault::fault;
use datafusion_postgres::pgwire::error::PgWireResult;
use datafusion_postgres::pgwire::messages::response::TransactionStatus;

impl State {
    /// Forgets what ends with a transaction.
    pub(super) fn end_transaction(&mut self) {
        self.savepoints.clear();
        self.cursors.retain(|_, cursor| cursor.try_lock().is_ok_and(|cursor| cursor.holds));
    }
}

impl Connection {
    /// SAVEPOINT, RELEASE and ROLLBACK TO: honest only where nothing was written since.
    pub(super) fn savepoint(
        &self,
        command: &Command,
        kind: Kind,
        status: TransactionStatus,
    ) -> PgWireResult<Reply> {
        let name = command.tokens.len().checked_sub(1).filter(|at| *at > 0);
        let name = name.and_then(|at| cursor::name(command, at));
        let name = name.ok_or_else(|| fault("42601", "a savepoint has a name".into()))?;
        if status == TransactionStatus::Idle {
            return Err(fault("25P01", "savepoints can only be used in transaction blocks".into()));
        }
        let mut state = self.state();
        let writes = state.writes;
        if kind == Kind::Savepoint {
            state.savepoints.push((name, writes));
            return Ok(Reply::Done("SAVEPOINT".into()));
        }
        let place = state.savepoints.iter().rposition(|(known, _)| *known == name);
        let place = place.ok_or_else(|| fault("3B001", format!("savepoint {name:?} does not exist")))?;
        if kind == Kind::Release {
            state.savepoints.truncate(place);
            return Ok(Reply::Done("RELEASE".into()));
        }
        match writes - state.savepoints[place].1 {
            0 => {
                state.savepoints.truncate(place + 1);
                Ok(Reply::Resumed)
            }
            since => Err(fault(
                "0A000",
                format!(
                    "cannot roll back to savepoint {name:?}: every statement is kept by itself, and {since} since then stay"
                ),
            )),
        }
    }

    /// The end of a transaction that should not have been: honest only where it wrote nothing.
    pub(super) fn taken_back(&self, status: TransactionStatus) -> PgWireResult<Reply> {
        let writes = std::mem::take(&mut self.state().writes);
        match (status, writes) {
            (TransactionStatus::Idle, _) | (_, 0) => Ok(Reply::Ended("ROLLBACK")),
            (_, writes) => Err(fault(
                "0A000",
                format!(
                    "cannot roll back: every statement is kept by itself, and {writes} of this transaction stay; the transaction is over"
                ),
            )),
        }
    }
}
