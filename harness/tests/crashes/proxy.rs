//! A network between a process and a server that a test spoils: slow, cut, deaf in one direction or in both.
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(5);

/// What becomes of bytes.
#[derive(Default)]
struct State {
    /// Bytes wait so long before they go on.
    delay_ms: AtomicU64,
    /// Whether bytes to the server, and from it, are held.
    deaf: [AtomicBool; 2],
    /// Whether nobody gets through at all.
    refuses: AtomicBool,
    /// Bytes that still go to the server before the connection breaks, and from it; negative: all.
    left: [AtomicI64; 2],
    open: Mutex<Vec<TcpStream>>,
}

/// Leads to a server. Its threads end with the test process.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

impl Proxy {
    pub fn new(target: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        state.left.iter().for_each(|left| left.store(-1, SeqCst));
        let own = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", target));
                let (Ok(server), false) = (server, own.refuses.load(SeqCst)) else { continue };
                let twice = |stream: &TcpStream| stream.try_clone().unwrap();
                own.open.lock().unwrap().extend([twice(&client), twice(&server)]);
                for (way, from, to) in [(0, twice(&client), twice(&server)), (1, server, client)] {
                    let state = own.clone();
                    std::thread::spawn(move || state.copy(way, from, to));
                }
            }
        });
        Proxy { port, state }
    }

    /// Each piece takes so much longer.
    pub fn delay(&self, delay: Duration) {
        self.state.delay_ms.store(delay.as_millis() as u64, SeqCst);
    }

    /// Nothing passes in these directions: to the server, from it. Nobody is told.
    pub fn deafen(&self, to: bool, from: bool) {
        self.state.deaf[0].store(to, SeqCst);
        self.state.deaf[1].store(from, SeqCst);
    }

    /// Breaks all connections, and lets no new one through.
    pub fn refuse(&self) {
        self.state.refuses.store(true, SeqCst);
        self.reset();
    }

    /// Breaks all connections.
    pub fn reset(&self) {
        for stream in self.state.open.lock().unwrap().drain(..) {
            _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Breaks one connection after so many more bytes to the server, or from it.
    pub fn cut_after(&self, to: bool, bytes: i64) {
        self.state.left[usize::from(!to)].store(bytes, SeqCst);
    }

    /// All is well again.
    pub fn heal(&self) {
        self.delay(Duration::ZERO);
        self.deafen(false, false);
        self.state.refuses.store(false, SeqCst);
        self.state.left.iter().for_each(|left| left.store(-1, SeqCst));
    }
}

impl State {
    fn copy(&self, way: usize, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 4_096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            while self.deaf[way].load(SeqCst) {
                std::thread::sleep(LOOK);
            }
            std::thread::sleep(Duration::from_millis(self.delay_ms.load(SeqCst)));
            let before = self.left[way].load(SeqCst);
            let cut = before >= 0 && count as i64 > before;
            let allowed = if cut { before as usize } else { count };
            if before >= 0 {
                self.left[way].store(if cut { -1 } else { before - count as i64 }, SeqCst);
            }
            if to.write_all(&buffer[..allowed]).is_err() || cut {
                break;
            }
        }
        _ = from.shutdown(Shutdown::Both);
        _ = to.shutdown(Shutdown::Both);
    }
}
