//! A way to a server that can lead elsewhere, and that breaks off where a test wants it.
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// Listens on a port of its own. Its thread ends with the test process.
pub struct Proxy {
    port: u16,
    target: Arc<AtomicU16>,
    /// Bytes to the server that are still let through; negative: all.
    left: Arc<AtomicI64>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub fn new(target: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Proxy {
            port,
            target: Arc::new(AtomicU16::new(target)),
            left: Arc::new(AtomicI64::new(-1)),
            open: Arc::default(),
        };
        let (target, left, open) = (proxy.target.clone(), proxy.left.clone(), proxy.open.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", target.load(SeqCst))) else { continue };
                open.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let left = left.clone();
                std::thread::spawn(move || copy(from, to, Some(&left)));
                std::thread::spawn(move || copy(server, client, None));
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Leads to another server from now on; those that are connected are cut off.
    pub fn lead_to(&self, port: u16) {
        self.target.store(port, SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts off the connection after so many more bytes to the server, once.
    pub fn cut_after(&self, bytes: u64) {
        self.left.store(bytes as i64, SeqCst);
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, left: Option<&AtomicI64>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut allowed = count;
        let mut cut = false;
        if let Some(left) = left {
            let before = left.load(SeqCst);
            if before >= 0 {
                allowed = count.min(before as usize);
                cut = allowed < count;
                left.store(if cut { -1 } else { before - count as i64 }, SeqCst);
            }
        }
        if to.write_all(&buffer[..allowed]).is_err() || cut {
            break;
        }
    }
    _ = from.shutdown(Shutdown::Both);
    _ = to.shutdown(Shutdown::Both);
}
