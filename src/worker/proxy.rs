//! The HTTP server through which a script's `ctx` calls reach the operation's context. One per
//! operation, on a port and under a path nobody else knows; the calls are answered one after the
//! other by the task that owns the context.
use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use super::context::{Answer, Context};

const REQUEST_SIZE_MAX: usize = 16 << 20;
const CALLS_WAITING_MAX: usize = 64;

#[derive(Debug)]
struct Call {
    args: Vec<Value>,
    answer: oneshot::Sender<Value>,
}

/// A running proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    url: String,
    stop: CancellationToken,
    owner: JoinHandle<Context>,
}

impl Proxy {
    pub(super) async fn start(tasks: &TaskTracker, context: Context) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let secret = format!("{:032x}", rand::random::<u128>());
        let url = format!("http://{}/{secret}", listener.local_addr()?);
        let (calls, waiting) = mpsc::channel(CALLS_WAITING_MAX);
        let stop = CancellationToken::new();
        let server = Server {
            path: format!("/{secret}"),
            calls,
            stop: stop.clone(),
        };
        tasks.spawn(accept(listener, server, tasks.clone()));
        Ok(Self {
            url,
            stop,
            owner: tasks.spawn(answer_all(context, waiting)),
        })
    }

    /// The value of `CTX_SOCKET_URL`.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Ends the server and gives the context back. Calls that are being answered are answered
    /// first.
    pub(super) async fn stop(self) -> Result<Context, tokio::task::JoinError> {
        self.stop.cancel();
        self.owner.await
    }
}

async fn answer_all(mut context: Context, mut waiting: mpsc::Receiver<Call>) -> Context {
    while let Some(call) = waiting.recv().await {
        let answer = match context.call(&call.args).await {
            Ok(Answer::Result(payload)) => json!({"type": "result", "payload": payload}),
            Ok(Answer::Stop(message)) => {
                json!({"type": "stop_operation", "payload": {"message": message}})
            }
            Err(error) => json!({"type": "error", "payload": {
                "type": error.kind, "message": error.message, "traceback": error.to_string(),
            }}),
        };
        if call.answer.send(answer).is_err() {
            debug!("a script did not wait for the answer to its call");
        }
    }
    context
}

#[derive(Clone, Debug)]
struct Server {
    path: String,
    calls: mpsc::Sender<Call>,
    stop: CancellationToken,
}

async fn accept(listener: TcpListener, server: Server, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = server.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(serve(stream, server.clone()));
            }
            Err(error) => debug!(%error, "a script's call could not be accepted"),
        }
    }
}

async fn serve(stream: TcpStream, server: Server) {
    let stop = server.stop.clone();
    let service = service_fn(move |request| respond(request, server.clone()));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let done = tokio::select! {
        done = connection.as_mut() => done,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = done {
        debug!(%error, "a script's call broke off");
    }
}

async fn respond(
    request: Request<Incoming>,
    server: Server,
) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match answer(request, &server).await {
        Ok(answer) => {
            let body = Full::new(Bytes::from(answer.to_string()));
            let mut response = Response::new(body);
            let kind = http::HeaderValue::from_static("application/json");
            response
                .headers_mut()
                .insert(http::header::CONTENT_TYPE, kind);
            response
        }
        Err(status) => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = status;
            response
        }
    })
}

async fn answer(request: Request<Incoming>, server: &Server) -> Result<Value, StatusCode> {
    if request.uri().path() != server.path {
        return Err(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::POST {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let body = Limited::new(request.into_body(), REQUEST_SIZE_MAX)
        .collect()
        .await;
    let body = body.map_err(|_| StatusCode::BAD_REQUEST)?.to_bytes();
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(&body) else {
        return Err(StatusCode::BAD_REQUEST);
    };
    let Some(Value::Array(args)) = fields.remove("args") else {
        return Err(StatusCode::BAD_REQUEST);
    };
    let (sender, receiver) = oneshot::channel();
    let call = Call {
        args,
        answer: sender,
    };
    server
        .calls
        .send(call)
        .await
        .map_err(|_| StatusCode::GONE)?;
    receiver.await.map_err(|_| StatusCode::GONE)
}
