//! Ports on which processes find each other.
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

/// A hostfile of free ports below those that the system gives to others.
pub fn hostfile(folder: &Path, processes: usize) -> PathBuf {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + (std::process::id() % 1_500) as u16 * 12;
    let ports = std::iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::Relaxed));
    let free = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let lines: Vec<String> = free.take(processes).map(|port| format!("127.0.0.1:{port}\n")).collect();
    let path = folder.join(format!("hosts-{}", lines[0].trim().replace(':', "-")));
    std::fs::write(&path, lines.concat()).unwrap();
    path
}
