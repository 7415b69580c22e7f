//! A PostgreSQL of its own: made in a temporary directory, reached by a socket there, stopped when dropped.
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A server that runs.
pub struct Postgres {
    process: Child,
    folder: TempDir,
}

/// The newest installed server, if any.
fn installed() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    folders.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.into_iter().rev().chain(std::env::split_paths(&path));
    folders.into_iter().find(|folder| folder.join("postgres").exists() && folder.join("initdb").exists())
}

/// The user that the server runs as, since it does not run as root: `postgres`, else `nobody`.
fn user() -> Option<(u32, u32)> {
    // SAFETY: reads a number of the process.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |name: &str| {
        let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut parts = line.split(':').skip(2);
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    of("postgres").or_else(|| of("nobody"))
}

fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).env("TZ", "UTC");
    if let Some((uid, gid)) = user() {
        command.uid(uid).gid(gid);
    }
    command
}

impl Postgres {
    /// Starts one, if PostgreSQL is installed.
    pub fn start() -> io::Result<Option<Postgres>> {
        let Some(programs) = installed() else { return Ok(None) };
        let folder = TempDir::with_prefix("tallyflow-postgres-")?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700))?;
        if let Some((uid, gid)) = user() {
            chown(folder.path(), Some(uid), Some(gid))?;
        }
        let data = folder.path().join("data");
        let made = command(&programs.join("initdb"), folder.path())
            .args([
                "--username=postgres",
                "--auth=trust",
                "--lc-collate=C",
                "--lc-ctype=C.UTF-8",
                "--encoding=UTF8",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .status()?;
        if !made.success() {
            return Err(io::Error::other(format!("initdb: {made}")));
        }
        let mut server = command(&programs.join("postgres"), folder.path());
        server.arg("-D").arg(&data).arg("-k").arg(folder.path());
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "autovacuum=off",
            "jit=off",
            "shared_buffers=32MB",
            "max_parallel_workers=0",
            "statement_timeout=10s",
            "TimeZone=UTC",
        ] {
            server.arg("-c").arg(setting);
        }
        Ok(Some(Postgres { process: server.spawn()?, folder }))
    }

    /// Where its socket is.
    #[allow(dead_code, reason = "not every test puts something before it")]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How tokio-postgres reaches it.
    pub fn address(&self) -> String {
        format!("host={} user=postgres dbname=postgres", self.folder.path().display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SAFETY: a signal to a child that was not waited for yet; SIGINT is its fast shutdown.
        unsafe { libc::kill(self.process.id() as i32, libc::SIGINT) };
        _ = self.process.wait();
    }
}
