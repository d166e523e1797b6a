//! The listening side of HTTP: our own accept loop around the warp routes.
//!
//! Plain TCP or TLS, HTTP/1.1. The peer's address travels in the request's extensions, `HEAD` is
//! routed as `GET` (hyper leaves the body out), and everything a client can do slowly has a limit.
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::tls::Tls;
use guard::{ReadLimit, Rest, WriteLimit};

mod guard;
#[cfg(test)]
mod tests;

/// Pause after the system refused to accept (out of file descriptors), so that the loop does not
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What one listener allows its clients.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time; further ones wait in the system's queue.
    pub connections_max: usize,
    /// All headers of a request together.
    pub header_bytes_max: usize,
    /// Number of headers.
    pub headers_max: usize,
    /// Time for the TLS handshake.
    pub handshake_timeout: Duration,
    /// Time until the headers are complete, idle time between two requests included.
    pub header_timeout: Duration,
    /// Time a request body may pause.
    pub read_timeout: Duration,
    /// Time the client may leave our data unread.
    pub write_timeout: Duration,
    /// Time that requests get to finish when the listener drains.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            header_bytes_max: 64 * 1024,
            headers_max: 128,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(75),
            read_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// Who is at the other end; in the extensions of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Address of the client, or of the proxy before it.
    pub addr: SocketAddr,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
}

/// In the extensions of a `GET` that came as `HEAD`: a handler may save itself the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsHead;

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}")]
pub struct BindError {
    /// As configured.
    pub addr: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A bound socket that does not accept yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
    limits: Limits,
    tls: Option<Arc<Tls>>,
}

impl Listener {
    /// Binds; port 0 takes a free one.
    pub async fn bind(addr: SocketAddr, limits: Limits) -> Result<Self, BindError> {
        let fail = |source| BindError { addr, source };
        let socket = TcpListener::bind(addr).await.map_err(fail)?;
        let addr = socket.local_addr().map_err(fail)?;
        Ok(Self {
            socket,
            addr,
            limits,
            tls: None,
        })
    }

    /// Speaks TLS only. Renewed certificates are used from the next connection on.
    pub fn with_tls(mut self, tls: Arc<Tls>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts until `drain` is cancelled, then lets running requests finish until the deadline.
    /// Returns the number of connections that had to be cut.
    pub async fn serve(self, routes: BoxedFilter<(Response,)>, drain: CancellationToken) -> usize {
        let Self {
            socket,
            addr,
            limits,
            tls,
        } = self;
        let places = Arc::new(Semaphore::new(limits.connections_max));
        let tasks = TaskTracker::new();
        let cut = CancellationToken::new();
        let connection = Connection {
            routes,
            limits,
            tls,
            drain: drain.clone(),
        };
        info!(%addr, tls = connection.tls.is_some(), "listening");
        let next = || accept(&socket, &places);
        while let Some((stream, peer, place)) = drain.run_until_cancelled(next()).await {
            let work = connection.clone().run(stream, peer);
            let cut = cut.clone();
            tasks.spawn(async move {
                cut.run_until_cancelled(work).await;
                drop(place);
            });
        }
        drop(socket);
        tasks.close();
        info!(%addr, connections = tasks.len(), "draining");
        if tokio::time::timeout(limits.drain_timeout, tasks.wait())
            .await
            .is_ok()
        {
            return 0;
        }
        let left = tasks.len();
        warn!(%addr, connections = left, "requests were cut at the end of the drain time");
        cut.cancel();
        tasks.wait().await;
        left
    }
}

async fn accept(
    socket: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit) {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What every connection of a listener needs.
#[derive(Clone)]
struct Connection {
    routes: BoxedFilter<(Response,)>,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    drain: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream, addr: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%addr, %error, "connection is gone already");
            return;
        }
        let stream = WriteLimit::new(stream, self.limits.write_timeout);
        let Some(tls) = self.tls.clone() else {
            return self
                .speak(
                    stream,
                    Peer {
                        addr,
                        is_tls: false,
                    },
                )
                .await;
        };
        let handshake = tls.acceptor().accept(stream);
        match tokio::time::timeout(self.limits.handshake_timeout, handshake).await {
            Ok(Ok(stream)) => self.speak(stream, Peer { addr, is_tls: true }).await,
            Ok(Err(error)) => debug!(%addr, %error, "TLS handshake failed"),
            Err(_) => debug!(%addr, "TLS handshake took too long"),
        }
    }

    async fn speak<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            routes,
            limits,
            drain,
            ..
        } = self;
        let routes = TowerToHyperService::new(warp::service(routes));
        let service = service_fn(move |request: Request<Incoming>| {
            let (request, rest) = prepare(request, peer, limits.read_timeout);
            // Who waits to be asked for a body before sending it is not asked for one that nobody
            // wants.
            let is_waiting = request.headers().contains_key(header::EXPECT);
            // The route may panic before it is first polled, so it is called inside the guard.
            let routes = routes.clone();
            async move {
                let outcome = guarded(async move { routes.call(request).await }).await;
                finish(outcome, rest, is_waiting).await
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_header_size(limits.header_bytes_max)
            .max_headers(limits.headers_max)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut drained = pin!(drain.cancelled());
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = drained.as_mut() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            debug!(peer = %peer.addr, %error, "connection ended early");
        }
    }
}

fn prepare(
    request: Request<Incoming>,
    peer: Peer,
    timeout: Duration,
) -> (Request<ReadLimit>, Rest) {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(peer);
    if parts.method == Method::HEAD {
        parts.method = Method::GET;
        parts.extensions.insert(IsHead);
    }
    let (body, rest) = ReadLimit::new(body, timeout);
    (Request::from_parts(parts, body), rest)
}

/// Many a request is answered before its body is read: refused, or of an unknown URL. Where the
/// rest of the body is not worth reading, the client is told that the connection ends with the
/// answer; otherwise its next request would be lost.
async fn finish<E>(
    outcome: Result<Response, E>,
    rest: Rest,
    is_waiting: bool,
) -> Result<Response, E> {
    let mut response = outcome?;
    let goes_on = match is_waiting {
        true => rest.is_read(),
        false => rest.ends_soon().await,
    };
    if !goes_on {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok(response)
}

/// A panic in a handler is our fault: the client gets its 500 and the connection lives on.
async fn guarded<E>(work: impl Future<Output = Result<Response, E>>) -> Result<Response, E> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => {
            error!("a request handler panicked");
            let body = r#"{"message": "Internal error", "error_code": "internal_server_error"}"#;
            let mut response = Response::new(body.into());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            Ok(response)
        }
    }
}
