//! The listener with real clients: reqwest, and raw sockets where a client misbehaves.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{Stream, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use warp::{Filter, Reply};

use super::*;

struct Server {
    addr: SocketAddr,
    drain: CancellationToken,
    task: JoinHandle<usize>,
}

fn free_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn client() -> reqwest::Client {
    // Another test of the process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

async fn start(limits: Limits, routes: BoxedFilter<(Response,)>) -> Server {
    start_listener(Listener::bind(free_port(), limits).await.unwrap(), routes)
}

fn start_listener(listener: Listener, routes: BoxedFilter<(Response,)>) -> Server {
    let drain = CancellationToken::new();
    let addr = listener.local_addr();
    let task = TaskTracker::new().spawn(listener.serve(routes, drain.clone()));
    Server { addr, drain, task }
}

impl Server {
    async fn stop(self) -> usize {
        self.drain.cancel();
        self.task.await.unwrap()
    }

    /// Sends raw bytes and reads until the server closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.addr).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut reply = Vec::new();
        let read = socket.read_to_end(&mut reply);
        // A reset after the reply is fine: there was more to read than the server wanted.
        let _ = tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .unwrap();
        String::from_utf8_lossy(&reply).into_owned()
    }
}

async fn count<B: bytes::Buf>(body: impl Stream<Item = Result<B, warp::Error>>) -> Response {
    let mut body = pin!(body);
    let mut sum = 0;
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) => sum += chunk.remaining(),
            Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
        }
    }
    sum.to_string().into_response()
}

fn echo() -> BoxedFilter<(Response,)> {
    let peer = warp::path("peer")
        .and(warp::get())
        .and(warp::ext::get::<Peer>())
        .map(|peer: Peer| format!("{} {}", peer.addr.ip(), peer.is_tls).into_response());
    let head = warp::path("head")
        .and(warp::get())
        .and(warp::ext::optional::<IsHead>())
        .map(|head: Option<IsHead>| {
            let content = "x".repeat(1000);
            let mut response = content.into_response();
            response
                .headers_mut()
                .insert("is-head", head.is_some().to_string().parse().unwrap());
            response
        });
    let body = warp::path("body")
        .and(warp::post())
        .and(warp::body::stream())
        .then(count);
    let panic = warp::path("panic").map(|| -> Response { panic!("handler failed") });
    peer.or(head)
        .unify()
        .or(body)
        .unify()
        .or(panic)
        .unify()
        .boxed()
}

#[tokio::test]
async fn tells_who_is_asking_and_maps_head() {
    let server = start(Limits::default(), echo()).await;
    let url = |path: &str| format!("http://{}/{path}", server.addr);
    let client = client();
    let text = client
        .get(url("peer"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(text, "127.0.0.1 false");
    let head = client.head(url("head")).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], "1000");
    assert_eq!(head.headers()["is-head"], "true");
    assert_eq!(
        client.head(url("nothing")).send().await.unwrap().status(),
        404
    );
    let get = client.get(url("head")).send().await.unwrap();
    assert_eq!(get.headers()["is-head"], "false");
    assert_eq!(get.text().await.unwrap().len(), 1000);
    // The connection is still in step after a HEAD.
    let raw = "HEAD /head HTTP/1.1\r\nhost: x\r\n\r\n\
        GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let reply = server.raw(raw.as_bytes()).await;
    assert!(!reply.contains("xxxx"), "{reply}");
    assert!(reply.ends_with("127.0.0.1 false"), "{reply}");
    drop(client);
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_connection_goes_on() {
    let server = start(Limits::default(), echo()).await;
    let client = client();
    let failed = client
        .get(format!("http://{}/panic", server.addr))
        .send()
        .await
        .unwrap();
    assert_eq!(failed.status(), 500);
    assert_eq!(failed.headers()["content-type"], "application/json");
    assert!(
        failed
            .text()
            .await
            .unwrap()
            .contains("internal_server_error")
    );
    let next = client
        .get(format!("http://{}/peer", server.addr))
        .send()
        .await
        .unwrap();
    assert_eq!(next.status(), 200);
}

#[tokio::test]
async fn limits_headers_and_slow_clients() {
    let short = Duration::from_millis(200);
    let limits = Limits {
        header_timeout: short,
        read_timeout: short,
        header_bytes_max: 16 * 1024,
        headers_max: 20,
        ..Limits::default()
    };
    let server = start(limits, echo()).await;
    let large = format!(
        "GET /peer HTTP/1.1\r\nhost: x\r\nbig: {}\r\n\r\n",
        "y".repeat(40_000)
    );
    assert!(
        server
            .raw(large.as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
    let many = format!(
        "GET /peer HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "a: b\r\n".repeat(30)
    );
    assert!(
        server
            .raw(many.as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
    assert!(
        server
            .raw(b"nonsense\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 400")
    );
    // Never finishes its headers, says nothing at all, stops in the middle of a body.
    assert_eq!(server.raw(b"GET /peer HTTP/1.1\r\nhos").await, "");
    assert_eq!(server.raw(b"").await, "");
    let cut = server
        .raw(b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc")
        .await;
    assert!(cut.starts_with("HTTP/1.1 408"), "{cut}");
    let full =
        b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc";
    assert!(server.raw(full).await.ends_with("\r\n\r\n3"));
}

/// What a client gets that sends a body to where nobody reads it, and asks for something else on
/// the same connection.
async fn after_unread(server: &Server, head: &str, body: &[u8]) -> String {
    let mut raw = format!("POST /nothing HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n").into_bytes();
    raw.extend_from_slice(body);
    raw.extend_from_slice(b"GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    server.raw(&raw).await
}

#[tokio::test]
async fn a_connection_outlives_a_small_body_that_nobody_reads() {
    let server = start(Limits::default(), echo()).await;
    let small = vec![b'z'; 60_000];
    let reply = after_unread(&server, "content-length: 60000", &small).await;
    assert!(reply.starts_with("HTTP/1.1 404"), "{reply}");
    assert!(reply.ends_with("127.0.0.1 false"), "{reply}");
    let chunks = b"3\r\nabc\r\n0\r\n\r\n";
    let reply = after_unread(&server, "transfer-encoding: chunked", chunks).await;
    assert!(reply.ends_with("127.0.0.1 false"), "{reply}");
}

#[tokio::test]
async fn a_client_is_told_when_the_connection_ends_before_its_body_does() {
    let server = start(Limits::default(), echo()).await;
    let large = vec![b'z'; 70_000];
    let chunks = [b"11170\r\n", large.as_slice(), b"\r\n0\r\n\r\n"].concat();
    // Too large by its own account, too large in fact, never coming, and only on demand.
    for (head, body) in [
        ("content-length: 70000", large.as_slice()),
        ("transfer-encoding: chunked", &chunks),
        ("content-length: 60000", b"abc"),
        ("content-length: 3\r\nexpect: 100-continue", b""),
    ] {
        let reply = after_unread(&server, head, body).await;
        assert!(reply.starts_with("HTTP/1.1 404"), "{head}: {reply}");
        assert!(reply.contains("connection: close\r\n"), "{head}: {reply}");
        assert!(!reply.contains("127.0.0.1"), "{head}: {reply}");
    }
}

#[tokio::test]
async fn cuts_a_client_that_does_not_read() {
    let sent = Arc::new(AtomicUsize::new(0));
    let gone = Arc::new(Notify::new());
    let routes = {
        struct Guard(Arc<Notify>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let (sent, gone) = (Arc::clone(&sent), Arc::clone(&gone));
        warp::any().map(move || {
            let (sent, guard) = (Arc::clone(&sent), Guard(Arc::clone(&gone)));
            let chunks = futures::stream::repeat_with(move || {
                let _kept = &guard;
                sent.fetch_add(65_536, Ordering::Relaxed);
                Ok::<_, io::Error>(vec![b'x'; 65_536])
            });
            warp::reply::stream(chunks).into_response()
        })
    };
    let limits = Limits {
        write_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = start(limits, routes.boxed()).await;
    let mut socket = TcpStream::connect(server.addr).await.unwrap();
    socket
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(20), gone.notified())
        .await
        .unwrap();
    assert!(sent.load(Ordering::Relaxed) > 0);
    drop(socket);
    assert_eq!(server.stop().await, 0);
}

/// Answers when told, and says when it was asked.
fn slow(asked: &Arc<Notify>, go: &Arc<Notify>) -> BoxedFilter<(Response,)> {
    let (asked, go) = (Arc::clone(asked), Arc::clone(go));
    warp::any()
        .then(move || {
            let (asked, go) = (Arc::clone(&asked), Arc::clone(&go));
            async move {
                asked.notify_one();
                go.notified().await;
                "finished".into_response()
            }
        })
        .boxed()
}

#[tokio::test]
async fn drains_running_requests_and_refuses_new_ones() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = start(Limits::default(), slow(&asked, &go)).await;
    let idle = TcpStream::connect(server.addr).await.unwrap();
    let url = format!("http://{}/", server.addr);
    let request = TaskTracker::new().spawn(client().get(&url).send());
    asked.notified().await;
    server.drain.cancel();
    while TcpStream::connect(server.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.task.is_finished());
    go.notify_one();
    let reply = request.await.unwrap().unwrap();
    assert_eq!(reply.headers()["connection"], "close");
    assert_eq!(reply.text().await.unwrap(), "finished");
    drop(idle);
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn cuts_what_outlasts_the_drain_time() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let limits = Limits {
        drain_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = start(limits, slow(&asked, &go)).await;
    let url = format!("http://{}/", server.addr);
    let request = TaskTracker::new().spawn(client().get(&url).send());
    asked.notified().await;
    assert_eq!(server.stop().await, 1);
    assert!(request.await.unwrap().is_err());
}

#[tokio::test]
async fn waits_when_all_places_are_taken() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let limits = Limits {
        connections_max: 1,
        ..Limits::default()
    };
    let server = start(limits, slow(&asked, &go)).await;
    let url = format!("http://{}/", server.addr);
    let request = || TaskTracker::new().spawn(client().get(&url).send());
    let (first, second) = (request(), request());
    asked.notified().await;
    go.notify_one();
    // The client that was served hangs up with its task, which makes room for the other.
    asked.notified().await;
    go.notify_one();
    for request in [first, second] {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let first = Listener::bind(free_port(), Limits::default())
        .await
        .unwrap();
    let taken = first.local_addr();
    let error = Listener::bind(taken, Limits::default()).await.unwrap_err();
    assert_eq!(error.addr, taken);
    assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&taken.to_string()));
}

#[tokio::test]
async fn speaks_tls_with_a_certificate_that_clients_can_check() {
    let dir = tempfile::tempdir().unwrap();
    let hosts = ["manager.example".to_owned(), "192.0.2.7".to_owned()];
    let tls = Arc::new(
        Tls::load_or_create(dir.path(), hosts, std::time::SystemTime::now().into()).unwrap(),
    );
    let limits = Limits {
        handshake_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let listener = Listener::bind(free_port(), limits)
        .await
        .unwrap()
        .with_tls(Arc::clone(&tls));
    let server = start_listener(listener, echo());
    let trusted = std::fs::read(tls.ca_cert_path()).unwrap();
    let trusted = reqwest::Certificate::from_pem(&trusted).unwrap();
    drop(client());
    let client = reqwest::Client::builder()
        .tls_certs_only([trusted])
        .resolve("manager.example", server.addr)
        .resolve("other.example", server.addr)
        .build()
        .unwrap();
    let port = server.addr.port();
    for host in ["127.0.0.1", "localhost", "manager.example"] {
        let reply = client
            .get(format!("https://{host}:{port}/peer"))
            .send()
            .await
            .unwrap();
        assert_eq!(reply.text().await.unwrap(), "127.0.0.1 true", "{host}");
    }
    assert!(
        client
            .get(format!("https://other.example:{port}/peer"))
            .send()
            .await
            .is_err()
    );
    let untrusting = self::client();
    assert!(
        untrusting
            .get(format!("https://127.0.0.1:{port}/peer"))
            .send()
            .await
            .is_err()
    );
    // Plain text and silence on the TLS port end the connection, not the listener.
    assert!(
        !server
            .raw(b"GET / HTTP/1.1\r\n\r\n")
            .await
            .starts_with("HTTP")
    );
    assert_eq!(server.raw(b"").await, "");
    let reply = client
        .get(format!("https://127.0.0.1:{port}/peer"))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 200);
}
