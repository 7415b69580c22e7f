//! A PgBouncer of its own, in transaction mode, before a PostgreSQL that is reached by a socket; stopped when dropped.
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// A pooler that runs.
pub struct Bouncer {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Bouncer {
    /// Starts one before the server whose socket is in a folder.
    pub fn start(socket: &Path) -> io::Result<Bouncer> {
        let folder = TempDir::with_prefix("tallyflow-bouncer-")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let settings = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\npostgres = host={} dbname=postgres user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 3\n\
             max_client_conn = 50\nignore_startup_parameters = extra_float_digits\n",
            socket.display()
        );
        std::fs::write(&settings, text)?;
        let mut command = Command::new(PROGRAM);
        command.arg(&settings).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: reads a number of the process.
        if unsafe { libc::geteuid() } == 0 {
            // It refuses to run as root; the owner of the socket may reach the server.
            let owner = std::fs::metadata(socket)?;
            let (uid, gid) =
                (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
            chown(folder.path(), Some(uid), Some(gid))?;
            command.uid(uid).gid(gid);
        }
        let process = command.spawn().map_err(|why| io::Error::other(format!("{PROGRAM}: {why}")))?;
        let bouncer = Bouncer { process, port, _folder: folder };
        for _ in 0..600 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(bouncer);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Err(io::Error::other("it does not answer"))
    }

    /// How tokio-postgres reaches it.
    pub fn address(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}
