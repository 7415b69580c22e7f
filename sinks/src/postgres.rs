//! `Postgres`: each view a table with its types and its key, and the time they all are true for in one guarded row.
//!
//! | file | what it is |
//! |---|---|
//! | `address` | where the server is, and how it is trusted |
//! | `session` | a connection; errors by what can be done about them |
//! | `guard` | who may write, from which time on |
//! | `table` | a view's table: columns, key, the statements that change it |
//! | `cells` | Arrow columns as the arrays that those statements take |
//! | `write` | a delivery, in one transaction |
//! | `read` | a table's rows, to be compared |
//!
//! Every delivery is one transaction: the guarded row first, so that writers come one after the other and each sees whether it is
//! still the one; then the rows. Only unnamed statements are used and nothing is set for longer than a transaction, so that a
//! PgBouncer in transaction mode may stand between.
pub(crate) mod address;
mod cells;
mod guard;
mod read;
mod session;
mod table;
mod write;

use crate::delivery::Delivery;
use crate::reach::Reach;
use crate::{Content, Held, Setting, Sink, SinkError};
use address::Address;
use dataflows::View;
use session::Session;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Beyond this nothing is waited for: statements are stopped by the server long before.
const CALL_WAIT: Duration = Duration::from_secs(900);
/// Turns that the tasks of connections get to close them.
const GOODBYES: usize = 16;
const SCHEMA_DEFAULT: &str = "tallyflow";

/// What a store is to this pipeline.
#[derive(Clone, Debug)]
struct Names {
    schema: String,
    pipeline: String,
    sink: String,
}

/// A schema of a PostgreSQL.
pub struct Postgres {
    runtime: Runtime,
    address: Address,
    names: Names,
    /// The writer's connection, once it took over.
    writer: Option<Writer>,
    reach: Reach,
}

/// A connection that took over, and what the store holds.
struct Writer {
    session: Session,
    epoch: i64,
    definitions: BTreeMap<Arc<str>, u64>,
}

impl Postgres {
    /// Options are `url`, and `user`, `password`, `schema`, `sslmode` (disable, prefer, require, verify-full), `sslrootcert` (a file).
    pub fn new(setting: &Setting) -> Result<Postgres, SinkError> {
        let mut options = setting.options.clone();
        let schema = options.remove("schema").unwrap_or_else(|| SCHEMA_DEFAULT.to_owned());
        table::check_name("schema", &schema).map_err(SinkError::Fatal)?;
        let address = Address::new(&mut options, &setting.sink).map_err(SinkError::Fatal)?;
        if let Some(unknown) = options.keys().next() {
            return Err(SinkError::Fatal(format!(
                "a postgres sink has no option {unknown}: known are url, user, password, schema, sslmode and sslrootcert"
            )));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|why| SinkError::Fatal(format!("cannot start its driver: {why}")))?;
        let names = Names { schema, pipeline: setting.pipeline.clone(), sink: setting.sink.clone() };
        Ok(Postgres { runtime, address, names, writer: None, reach: Reach::default() })
    }
}

impl Sink for Postgres {
    fn open(&mut self) -> Result<Held, SinkError> {
        self.writer = None;
        let (address, names) = (&self.address, &self.names);
        let (writer, held) = within(&self.runtime, guard::take_over(address, names, self.reach))?;
        self.reach.hold(held.time);
        self.writer = Some(writer);
        Ok(held)
    }

    fn apply(&mut self, delivery: &Delivery) -> Result<(), SinkError> {
        // Whatever goes wrong, the connection is given up: its transaction ends, and opening says what was kept.
        let mut writer =
            self.writer.take().ok_or_else(|| SinkError::Retry("the store was not opened".into()))?;
        self.reach.attempt(delivery.to);
        let names = &self.names;
        let done = within(&self.runtime, async move {
            write::apply(&mut writer, names, delivery).await?;
            Ok(writer)
        });
        self.writer = Some(done?);
        self.reach.hold(Some(delivery.to));
        Ok(())
    }

    fn read(&mut self, view: &Arc<View>) -> Result<Content, SinkError> {
        within(&self.runtime, read::content(&self.address, &self.names, view))
    }
}

fn within<T>(runtime: &Runtime, act: impl Future<Output = Result<T, SinkError>>) -> Result<T, SinkError> {
    let bounded = runtime.block_on(async {
        let done = tokio::time::timeout(CALL_WAIT, act).await;
        // Connections that were given up are driven by tasks, and these only while something is waited for.
        for _ in 0..GOODBYES {
            tokio::task::yield_now().await;
        }
        done
    });
    bounded.unwrap_or_else(|_| Err(SinkError::Retry(format!("no answer in {} s", CALL_WAIT.as_secs()))))
}
