//! Real servers for tests, each in a directory of its own: what `harness/services` starts, ends when it is dropped.
//!
//! A test that cannot have its server fails. A test process that is killed takes its servers with it.
#![allow(dead_code, reason = "each test uses what it needs")]
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

/// A server that runs, or ran.
pub struct Service {
    server: &'static str,
    folder: PathBuf,
}

static STARTED: AtomicU64 = AtomicU64::new(0);

fn run(arguments: &[&OsStr]) -> Result<String, String> {
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("harness/services");
    let owner = std::process::id().to_string();
    let output = Command::new(&script).args(arguments).env("TALLYFLOW_OWNER", owner).output();
    let output = output.map_err(|error| format!("cannot run {}: {error}", script.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        return Err(format!("{arguments:?}: {text} {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(text)
}

impl Service {
    /// Starts a `postgres`, `redis`, `kafka` or `kafka3`.
    pub fn start(server: &'static str) -> Service {
        Service::start_with(server, &[])
    }

    /// Starts one with arguments of its own; see the head of `harness/services`.
    pub fn start_with(server: &'static str, arguments: &[&str]) -> Service {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        // Not in TMPDIR: the user that PostgreSQL runs as must be able to enter it.
        let name = format!("/var/tmp/tallyflow-test-{}-{number}-{server}", std::process::id());
        let service = Service { server, folder: PathBuf::from(name) };
        service.say("start", server, arguments);
        service
    }

    /// Starts a PgBouncer in transaction mode in front of a PostgreSQL.
    pub fn pgbouncer(postgres: &Service) -> Service {
        Service::start_with("pgbouncer", &[&postgres.folder.to_string_lossy()])
    }

    fn say(&self, verb: &str, server: &str, arguments: &[&str]) -> String {
        let mut all = vec![OsStr::new(verb), OsStr::new(server), self.folder.as_os_str()];
        all.extend(arguments.iter().map(OsStr::new));
        run(&all).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Where its data and log stand.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The port, of a server that has one.
    pub fn port(&self) -> u16 {
        self.say("port", self.server, &[]).parse().expect("one port")
    }

    /// How it is reached: `postgres://..`, `redis://..`, or brokers with commas.
    pub fn url(&self) -> String {
        self.say("url", self.server, &[])
    }

    /// Shuts it down; its data stay.
    pub fn stop(&self) {
        self.say("stop", self.server, &[]);
    }

    /// Ends it at once, by `kill -9`.
    pub fn kill(&self) {
        self.say("kill", self.server, &[]);
    }

    /// Starts it again after [`Service::stop`] or [`Service::kill`], on the same port.
    pub fn restart(&self) {
        self.say("start", self.server, &[]);
    }

    /// Holds all its processes, by SIGSTOP.
    pub fn pause(&self) {
        self.say("pause", self.server, &[]);
    }

    /// Lets them go on.
    pub fn resume(&self) {
        self.say("resume", self.server, &[]);
    }

    /// The same verbs for one of three brokers: `kafka3.1`.
    pub fn broker(&self, verb: &str, broker: u32) {
        self.say(verb, &format!("{}.{broker}", self.server), &[]);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        _ = run(&["remove".as_ref(), self.server.as_ref(), self.folder.as_os_str()]);
    }
}
