//! `tallyflow run`: the pipeline and the API, until a signal or a failure ends both.
use super::config::{DEAD_LETTERS, Settled, merge, settle};
use super::{Cluster, Run, workers};
use crate::Error;
use crate::cluster::follow::follow;
use crate::cluster::greet::Terms;
use crate::cluster::hosts::Hosts;
use crate::cluster::lead::Lead;
use crate::data::Data;
use crate::host::Process;
use crate::pipeline::Pipeline;
use crate::ticks::End;
use queries::api::host::Host;
use queries::api::{ApiConfig, serve};
use queries::wire::access::Access;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often a failure of the pipeline is looked for.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn run(run: Run) -> Result<(), Error> {
    let hosts = hosts(&run.cluster)?;
    if let Some(hosts) = hosts.as_ref().filter(|hosts| hosts.process > 0) {
        return follow(hosts);
    }
    let mut settled = settle(merge(run.serve, run.config.as_deref())?, workers(None))?;
    settled.hosts = hosts;
    let server = Server::open(&settled)?;
    tell!(
        "tallyflow: catalogue {} in {}",
        server.pipeline.data().catalogue(),
        server.pipeline.data().path().display()
    );
    tell!("tallyflow: listening on http://{}", server.address);
    if let Some(wire) = &server.wire {
        tell!("tallyflow: PostgreSQL protocol on {}", address_of(wire, "the given address"));
    }
    let others = server.others.clone();
    server.serve(left(others), || ())?;
    tell!("tallyflow: stopped");
    Ok(())
}

/// The processes, if there are several.
fn hosts(cluster: &Cluster) -> Result<Option<Hosts>, Error> {
    let (Some(processes), Some(file)) = (cluster.processes, &cluster.hostfile) else { return Ok(None) };
    let Some(process) = cluster.process else {
        return Err(Error::Usage(
            "with --processes each process has its number: give --process 0, 1, ..".into(),
        ));
    };
    let hosts = Hosts::read(file, processes.into(), process.into())?;
    Ok(Some(hosts).filter(|_| processes > 1))
}

/// Until a follower was asked to stop.
async fn left(others: Option<Arc<Lead>>) {
    let Some(others) = others else { return std::future::pending().await };
    while !others.was_left() {
        tokio::time::sleep(LOOK).await;
    }
    tell!("tallyflow: another process was asked to stop, so all do");
}

/// A pipeline and the socket it will answer on.
pub(super) struct Server {
    pub(super) pipeline: Pipeline,
    pub(super) address: String,
    listener: TcpListener,
    wire: Option<TcpListener>,
    others: Option<Arc<Lead>>,
    access: Access,
}

impl Server {
    /// Takes the port and the data, and starts the pipeline.
    pub(super) fn open(settled: &Settled) -> Result<Server, Error> {
        let listener = listen(&settled.listen)?;
        let wire = settled.pg.as_deref().map(listen).transpose()?;
        let access = settled.access.clone();
        if let Some(warning) = wire.as_ref().and_then(|wire| super::wire::warning(wire, &access)) {
            report!("tallyflow: {warning}");
        }
        let address = address_of(&listener, &settled.listen);
        let data = Data::open(&settled.data, settled.catalogue.as_deref())?;
        data.announce(&address)?;
        let mut setting = settled.setting.clone();
        if let Some(hosts) = &settled.hosts {
            let terms = Terms { workers: setting.workers, state_bytes_max: setting.state_bytes_max };
            setting.others = Some(Lead::gather(hosts, terms)?);
            tell!("tallyflow: {} processes of {} workers each", hosts.addresses.len(), terms.workers);
        }
        let others = setting.others.clone();
        let pipeline = Pipeline::start(data, &setting)?;
        for repair in pipeline.repairs() {
            report!("tallyflow: repaired {repair}");
        }
        Ok(Server { pipeline, address, listener, wire, others, access })
    }

    /// Answers until a signal, a failure, or `over`; then stops all, `before` first.
    pub(super) fn serve(self, over: impl Future<Output = ()>, before: impl FnOnce()) -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|why| Error::failed("start the HTTP server", why))?;
        runtime.block_on(async {
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let shutdown = async {
                _ = stopped.await;
            };
            let api = serve(self.listener, self.pipeline.session(), ApiConfig::default(), shutdown);
            let api = tokio::spawn(api);
            let wire = self.wire.map(|listener| {
                let limits = queries::wire::Limits::default();
                tokio::spawn(queries::wire::serve(
                    listener,
                    self.pipeline.session(),
                    limits,
                    self.access,
                    std::future::pending(),
                ))
            });
            let ended = wait(&self.pipeline, over).await;
            before();
            _ = stop.send(());
            _ = api.await;
            if let Some(wire) = wire {
                wire.abort();
            }
            ended
        })?;
        runtime.shutdown_timeout(Duration::from_secs(1));
        self.pipeline.finish(End::Now).map(|_| ())
    }
}

async fn wait(pipeline: &Pipeline, over: impl Future<Output = ()>) -> Result<(), Error> {
    let failed = |why| Error::failed("listen for signals", why);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (began, mut said) = (std::time::Instant::now(), false);
    let failure = async {
        loop {
            tokio::time::sleep(LOOK).await;
            if !said && pipeline.process().ready().is_ok() {
                said = true;
                // Nobody may be listening to it any more.
                _ = writeln!(std::io::stdout(), "{}", ready(pipeline, began.elapsed()));
                let process = pipeline.process().clone();
                if pipeline.shared().outlets.get(DEAD_LETTERS).is_some() {
                    _ = tokio::task::spawn_blocking(move || dead_letters(&process)).await;
                }
            }
            if pipeline.visible().now().failure.is_some() {
                return;
            }
        }
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = failure => {}
        () = over => {}
    }
    Ok(())
}

/// Declares the view of records that do not count, unless there is one: the sink of its name waits for it.
fn dead_letters(process: &Process) {
    let known = process.catalogue().get(DEAD_LETTERS).is_some();
    let sql =
        format!("CREATE MATERIALIZED VIEW {DEAD_LETTERS} WITH (key = 'id') AS SELECT * FROM quarantine");
    if !known && let Err(why) = process.declare(&sql) {
        report!("tallyflow: records that do not count come to no topic: {why}");
    }
}

/// What the start took: from the opened data to the first answer for all that was in the log.
fn ready(pipeline: &Pipeline, took: Duration) -> String {
    let phases = pipeline.shared().snapshots.now().phases;
    let phases: Vec<String> = phases.iter().map(|(name, ms)| format!("{name} {ms} ms")).collect();
    format!("tallyflow: ready {} ms after listening ({})", took.as_millis(), phases.join(", "))
}

pub(super) fn address_of(listener: &TcpListener, asked: &str) -> String {
    listener.local_addr().map_or_else(|_| asked.to_owned(), |address| address.to_string())
}

pub(super) fn listen(address: &str) -> Result<TcpListener, Error> {
    let listener = TcpListener::bind(address).map_err(|why| {
        let why = match why.kind() {
            std::io::ErrorKind::AddrInUse => {
                "address in use (try --listen 127.0.0.1:0 for any free port)".to_owned()
            }
            _ => why.to_string(),
        };
        Error::failed(format!("listen on {address}"), why)
    })?;
    listener.set_nonblocking(true).map_err(|why| Error::failed(format!("listen on {address}"), why))?;
    Ok(listener)
}
