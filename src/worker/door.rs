//! A way to RabbitMQ for workflows written in Python. Their library knows one port and no other, so
//! that it is given an address of this machine where that port leads to RabbitMQ, wherever it is
//! and whether it speaks TLS or not.
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use lapin::uri::AMQPUri;
use rand::Rng;
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::OnceCell,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use crate::{
    broker::{Line, address},
    config::Hidden,
    tasks,
};

/// The port that the library connects to.
const PORT: u16 = 5672;
/// Addresses of this machine that are tried.
const ATTEMPTS: usize = 16;

/// Opened when the first workflow needs it, and closed with the worker.
#[derive(Debug)]
pub(super) struct Door {
    to: Option<(Hidden, Option<PathBuf>)>,
    addr: OnceCell<Ipv4Addr>,
    closed: CancellationToken,
    _guard: DropGuard,
}

impl Door {
    pub(super) fn new(to: Option<(Hidden, Option<PathBuf>)>) -> Self {
        let closed = CancellationToken::new();
        Self {
            to,
            addr: OnceCell::new(),
            _guard: closed.clone().drop_guard(),
            closed,
        }
    }

    /// What the library wants to know: `broker_config.json`.
    ///
    /// # Errors
    /// When no RabbitMQ is configured, or there is no address to listen on.
    pub(super) async fn open(&self) -> io::Result<Value> {
        let Some((url, ca_file)) = &self.to else {
            return Err(io::Error::other(
                "workflows written in Python need RabbitMQ",
            ));
        };
        let uri = address(&url.0).map_err(io::Error::other)?;
        let addr = self
            .addr
            .get_or_try_init(|| self.listen(&uri, ca_file.as_ref()));
        Ok(json!({
            "broker_hostname": addr.await?.to_string(),
            "broker_username": uri.authority.userinfo.username,
            "broker_password": uri.authority.userinfo.password,
            "broker_vhost": uri.vhost,
            "broker_ssl_enabled": false,
        }))
    }

    async fn listen(&self, uri: &AMQPUri, ca_file: Option<&PathBuf>) -> io::Result<Ipv4Addr> {
        let line = Line::to(uri, ca_file.map(PathBuf::as_path)).await;
        let line = Arc::new(line.map_err(io::Error::other)?);
        let (listener, addr) = bind().await?;
        let closed = self.closed.clone();
        tasks::detached("way to RabbitMQ", async move {
            while let Some(accepted) = closed.run_until_cancelled(listener.accept()).await {
                let Ok((stream, _)) = accepted else { continue };
                let (line, closed) = (line.clone(), closed.clone());
                tasks::detached("connection to RabbitMQ", async move {
                    if let Some(Err(error)) = closed.run_until_cancelled(lead(&line, stream)).await
                    {
                        debug!(%error, "a connection to RabbitMQ has ended");
                    }
                });
            }
        });
        Ok(addr)
    }
}

/// All of 127.0.0.0/8 is this machine, and few of it is taken.
async fn bind() -> io::Result<(TcpListener, Ipv4Addr)> {
    let mut refused = io::Error::other("no address");
    for _ in 0..ATTEMPTS {
        let [a, b, c] = rand::rng()
            .random::<[u8; 3]>()
            .map(|part| part.clamp(1, 254));
        let addr = Ipv4Addr::new(127, a, b, c);
        match TcpListener::bind(SocketAddr::from((addr, PORT))).await {
            Ok(listener) => return Ok((listener, addr)),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

async fn lead(line: &Line, mut from: TcpStream) -> io::Result<()> {
    let mut to = line.dial().await?;
    copy_bidirectional(&mut from, &mut to).await?;
    Ok(())
}
