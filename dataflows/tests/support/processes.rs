//! An engine of several processes, all of them here: workers of different ones know each other only by loopback connections, over
//! which rows travel as bytes.
use crossbeam_channel::Sender;
use dataflows::engine::{Cluster, Engine, Order, Output, State};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Starts so many processes of so many workers; one process is an engine as always.
pub fn start((processes, threads): (usize, usize), output: &Sender<Output>) -> Engine {
    if processes == 1 {
        return Engine::start(threads, output.clone()).unwrap();
    }
    let mut sockets: Vec<Vec<Option<TcpStream>>> =
        (0..processes).map(|_| (0..processes).map(|_| None).collect()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for (a, b) in (0..processes).flat_map(|a| (a + 1..processes).map(move |b| (a, b))) {
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let other = listener.accept().unwrap().0;
        (sockets[a][b], sockets[b][a]) = (Some(one), Some(other));
    }
    let mut all = sockets.into_iter().enumerate();
    let (_, first) = all.next().unwrap();
    let others: Vec<(Engine, Arc<State>)> = all
        .map(|(process, sockets)| {
            let state = Arc::new(State::default());
            let cluster = Cluster { process, sockets, tell: None, state: state.clone() };
            (Engine::start_cluster(threads, output.clone(), usize::MAX, cluster).unwrap(), state)
        })
        .collect();
    let tell = move |process: usize, order: &Order| {
        let (engine, state) = &others[process - 1];
        if matches!(order, Order::Shutdown) {
            state.stop();
        }
        engine.obey(order.clone());
    };
    let cluster = Cluster { process: 0, sockets: first, tell: Some(Box::new(tell)), state: Arc::default() };
    Engine::start_cluster(threads, output.clone(), usize::MAX, cluster).unwrap()
}
