//! `Cluster`: the workers of several processes as one engine. Whoever starts it connects the processes and says when one is lost.
use super::{Engine, Order, Output};
use crossbeam_channel::Sender;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::zero_copy::stream::Stream;
use timely::communication::{AllocatorBuilder, Hooks, allocator::ProcessBuilder};

/// Tells the others: the process, and what it is told.
pub type Tell = Box<dyn Fn(usize, &Order) + Send + Sync>;

/// One process among several.
pub struct Cluster {
    /// Its number; process 0 is the one that is told, and tells the others.
    pub process: usize,
    /// A connection to each process in the order of their numbers; none to itself.
    pub sockets: Vec<Option<TcpStream>>,
    /// In process 0: what takes orders to the others.
    pub tell: Option<Tell>,
    /// How it stands with the processes.
    pub state: Arc<State>,
}

/// How it stands with the processes of a cluster, for all threads.
#[derive(Default)]
pub struct State {
    /// The end is orderly: connections may be closed.
    stopping: AtomicBool,
    /// A process is lost: what the workers left half done cannot be completed.
    pub(super) broken: AtomicBool,
}

impl State {
    /// From here on the other processes may end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the other processes may end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// A process is lost: the workers of this one end soon, wherever they are. Whether it is the first time.
    pub fn lose(&self) -> bool {
        !self.broken.swap(true, Ordering::AcqRel)
    }

    /// Whether a process is lost.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}

impl Cluster {
    /// What timely sends by, for `threads` workers in this process.
    pub(super) fn build(
        threads: usize,
        process: usize,
        sockets: Vec<Option<TcpStream>>,
        state: &Arc<State>,
    ) -> Result<(Vec<AllocatorBuilder>, Box<dyn std::any::Any + Send>), String> {
        let socket = |socket: TcpStream| Socket { socket, state: state.clone(), zeros: 0 };
        let sockets: Vec<Option<Socket>> = sockets.into_iter().map(|one| one.map(socket)).collect();
        let hooks = Hooks::default();
        let inside = ProcessBuilder::new_typed_vector(threads, hooks.refill.clone(), None);
        let (built, guard) = initialize_networking_from_sockets(inside, sockets, process, threads, hooks)
            .map_err(|why| format!("cannot use the connections to the other processes: {why}"))?;
        Ok((built.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(guard)))
    }
}

impl Engine {
    /// Starts `threads` workers here, as one process of several. Their outputs go to `output`, those of other processes must be
    /// brought there: a [`super::Collector`] takes the outputs of all.
    pub fn start_cluster(
        threads: usize,
        output: Sender<Output>,
        bytes_max: usize,
        cluster: Cluster,
    ) -> Result<Engine, String> {
        let Cluster { process, sockets, tell, state } = cluster;
        let processes = sockets.len();
        let built = Cluster::build(threads, process, sockets, &state)?;
        Engine::start_with(built, (threads, processes), output, bytes_max, state, tell)
    }
}

/// A connection that never fails while the end is not orderly: it waits for whoever watches over the processes to stop this one, since
/// timely has nothing but a panic for it.
struct Socket {
    socket: TcpStream,
    state: Arc<State>,
    /// How many of the bytes read last are zero.
    zeros: usize,
}

/// What timely sends last: a header of zeros.
const LAST_BYTES: usize = 48;

/// How long a connection that was closed waits for an orderly end. Who watches over the processes knows sooner.
const WAIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(2);

impl Socket {
    /// Returns once the end is orderly; a process that is lost ends this one.
    fn ended(&self, said_so: bool) {
        let began = Instant::now();
        while !said_so || !self.state.is_stopping() || self.state.is_broken() {
            if began.elapsed() > WAIT {
                self.state.lose();
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.socket.read(buffer) {
            Ok(0) | Err(_) => {
                self.ended(self.zeros >= LAST_BYTES);
                Ok(0)
            }
            Ok(length) => {
                let zeros = buffer[..length].iter().rev().take_while(|byte| **byte == 0).count();
                self.zeros = if zeros == length { self.zeros + length } else { zeros };
                Ok(length)
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.socket.write(bytes).or_else(|_| {
            self.ended(true);
            Ok(bytes.len())
        })
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    fn try_clone(&self) -> std::io::Result<Socket> {
        Ok(Socket { socket: self.socket.try_clone()?, state: self.state.clone(), zeros: 0 })
    }

    fn set_nonblocking(&self, nonblocking: bool) -> std::io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> std::io::Result<()> {
        // The other end may be gone already.
        _ = self.socket.shutdown(how);
        Ok(())
    }
}
