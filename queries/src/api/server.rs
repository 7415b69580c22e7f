//! The server: connections, their bounds, and their end.
use super::cursor::Signer;
use super::meter::Meter;
use super::{Api, ApiConfig, closed, routes};
use crate::session::Session;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use warp::filters::BoxedFilter;
use warp::http::Request;
use warp::reply::Response;

/// Serves the API on a listener until `shutdown` is ready; then streams are told, and requests have a while to end.
pub async fn serve(
    listener: std::net::TcpListener,
    session: Session,
    config: ApiConfig,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let (close, closing) = watch::channel(false);
    let (memory, host) = (session.memory().clone(), session.host().clone());
    let (meter, cursors, commands) = (Meter::default(), Signer::new(), Default::default());
    let api = Arc::new(Api { memory, host, session, config, meter, closing, cursors, commands });
    let routes = routes::routes(api.clone());
    let config = api.config.clone();
    accept(listener, &config, close, shutdown, |socket| connection(api.clone(), routes.clone(), socket)).await
}

/// Takes connections until `shutdown` is ready; then they are told, and have a while to end.
pub(super) async fn accept<C: Future<Output = ()> + Send + 'static>(
    listener: std::net::TcpListener,
    config: &ApiConfig,
    close: watch::Sender<bool>,
    shutdown: impl Future<Output = ()>,
    connection: impl Fn(TcpStream) -> C,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(config.connections_max));
    let accept = async {
        loop {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((socket, _)) => {
                    let connection = connection(socket);
                    tokio::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                // Out of files or memory: what is open may end meanwhile.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = shutdown => {}
    }
    close.send_replace(true);
    drop(listener);
    // When every connection gave its place back, all are closed.
    let all = u32::try_from(config.connections_max).unwrap_or(u32::MAX);
    _ = tokio::time::timeout(config.shutdown_wait, places.acquire_many(all)).await;
    Ok(())
}

async fn connection(api: Arc<Api>, routes: BoxedFilter<(Response,)>, socket: TcpStream) {
    let _open = api.meter.connection();
    let slow = TowerToHyperService::new(warp::service(routes));
    let front = api.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let done =
            routes::point(&request).map(|(name, key)| routes::answer_point(&front, &request, name, key));
        let rest = done.is_none().then(|| slow.call(request));
        async move {
            match (done, rest) {
                (Some(done), _) => done,
                (None, Some(rest)) => rest.await,
                (None, None) => unreachable!("a request that is not done goes to the routes"),
            }
        }
    });
    answer(socket, &api.config, api.closing.clone(), service).await;
}

/// Answers the requests of a connection.
pub(super) async fn answer<S>(
    socket: TcpStream,
    config: &ApiConfig,
    mut closing: watch::Receiver<bool>,
    service: S,
) where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Send,
    S::Future: Send + 'static,
{
    // Without it, small answers wait for the client's acknowledgements; where it cannot be set, they are only slower.
    _ = socket.set_nodelay(true);
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(config.header_wait).pipeline_flush(true);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(256);
    let serving = server.serve_connection(TokioIo::new(socket), service);
    let mut serving = std::pin::pin!(serving);
    // How a connection ends is its client's affair.
    tokio::select! {
        _ = serving.as_mut() => return,
        () = closed(&mut closing) => serving.as_mut().graceful_shutdown(),
    }
    _ = serving.await;
}
