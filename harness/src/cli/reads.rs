//! `tallyflow serve`: the reads of the API from stores outside, in a process that holds no engine.
use super::LISTEN_DEFAULT;
use super::serve::{address_of, listen};
use crate::Error;
use clap::Args;
use queries::api::{ApiConfig, Stores, serve_stores};
use sinks::redis::Options;
use sinks::stored::postgres::Postgres;
use tokio::signal::unix::{SignalKind, signal};

/// Which stores are read. A URL may be `env:NAME` or `file:PATH`, where it is then found.
#[derive(Args, Debug)]
pub(super) struct Reads {
    /// The PostgreSQL that a sink keeps views in.
    #[arg(long, value_name = "URL", required_unless_present = "redis")]
    postgres: Option<String>,
    /// The schema of the sink's tables.
    #[arg(long, value_name = "NAME", default_value = "tallyflow")]
    schema: String,
    /// The sink, where several keep views in the schema.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// The Redis that a sink keeps views in; of a cluster several, with commas.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// What the sink's keys begin with.
    #[arg(long, value_name = "NAME", default_value = "tallyflow")]
    prefix: String,
    /// The Redis is a Redis Cluster.
    #[arg(long)]
    cluster: bool,
    /// Certificates to be trusted by the connection to Redis in place of the system's.
    #[arg(long, value_name = "FILE")]
    redis_ca: Option<String>,
    /// Where HTTP is answered.
    #[arg(long, value_name = "ADDR", default_value = LISTEN_DEFAULT)]
    listen: String,
}

/// A URL, or where it is found.
fn found(text: &str) -> Result<String, Error> {
    let url = sources::secret::resolved(text);
    url.map(|url| url.trim().to_owned()).map_err(|why| Error::failed(format!("find the URL in {text}"), why))
}

pub(super) fn run(reads: Reads) -> Result<(), Error> {
    let postgres = match &reads.postgres {
        Some(url) => Some(Postgres::new(&found(url)?, &reads.schema, reads.sink).map_err(Error::Usage)?),
        None => None,
    };
    let redis = match &reads.redis {
        Some(url) => {
            let Reads { prefix, cluster, redis_ca: ca, .. } = reads;
            Some(Options { prefix, cluster, ca, ..Options::new(&found(url)?) })
        }
        None => None,
    };
    let listener = listen(&reads.listen)?;
    tell!("tallyflow: listening on http://{}", address_of(&listener, &reads.listen));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|why| Error::failed("start the HTTP server", why))?;
    runtime.block_on(async {
        let failed = |why| Error::failed("listen for signals", why);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let over = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        let served = serve_stores(listener, Stores::new(postgres, redis), ApiConfig::default(), over).await;
        served.map_err(|why| Error::failed("serve", why))
    })?;
    tell!("tallyflow: stopped");
    Ok(())
}
