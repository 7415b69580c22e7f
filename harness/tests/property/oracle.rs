//! PostgreSQL as the oracle: statements in, rows of texts out.
use super::compare::Row;
use super::postgres::Postgres;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// One connection.
pub struct Oracle {
    runtime: Runtime,
    client: Client,
}

/// How often a server that starts is asked.
const ATTEMPTS: usize = 200;

impl Oracle {
    pub fn connect(server: &Postgres) -> Oracle {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        for _ in 0..ATTEMPTS {
            let connected = runtime.block_on(tokio_postgres::connect(&server.address(), NoTls));
            if let Ok((client, connection)) = connected {
                runtime.spawn(connection);
                return Oracle { runtime, client };
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("PostgreSQL does not answer");
    }

    /// Rows, and how many a statement touched.
    pub fn execute(&self, sql: &str) -> Result<(Vec<Row>, u64), String> {
        let messages = self.runtime.block_on(self.client.simple_query(sql));
        let messages = messages.map_err(|why| match why.as_db_error() {
            Some(error) => format!("{}: {}", error.code().code(), error.message()),
            None => why.to_string(),
        })?;
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
}
