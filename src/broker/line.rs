//! The line to the broker: plain, or with TLS, on which the broker's certificate is checked. The
//! library's own TLS is left out on purpose: built without it, it would send what is meant for an
//! encrypted line in the clear, and built with it, it would trust others besides the authorities
//! that are configured.
use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_compat::{Compat, CompatExt};
use async_rs::{Runtime, Tokio, traits::Reactor, util::RuntimeParts};
use futures::Stream;
use lapin::{
    Connection, ConnectionProperties,
    tcp::AsyncTcpStream,
    uri::{AMQPScheme, AMQPUri},
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::Error;
use crate::{names, trust};

#[cfg(test)]
mod tests;

/// Takes a broker's URL apart. The library takes IPv6 addresses for none, and this machine instead.
///
/// # Errors
/// `Configuration` for what is no URL of a broker.
pub fn address(url: &str) -> Result<AMQPUri, Error> {
    let mut uri: AMQPUri = url.parse().map_err(Error::Configuration)?;
    let parsed = url::Url::parse(url).map_err(|error| Error::Configuration(error.to_string()))?;
    if let Some(url::Host::Ipv6(host)) = parsed.host() {
        uri.authority.host = host.to_string();
    }
    Ok(uri)
}

/// Both directions of a line.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// How to get to a broker.
pub struct Line {
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port, tls } = self;
        let mut shown = f.debug_struct("Line");
        shown.field("host", host).field("port", port);
        shown.field("is_tls", &tls.is_some()).finish()
    }
}

impl Line {
    /// `ca_file` holds the authorities that may have signed the broker's certificate, in PEM;
    /// without it they are those that this machine trusts.
    ///
    /// # Errors
    /// `CaFile` for a file that cannot be read or holds no certificates.
    pub async fn to(uri: &AMQPUri, ca_file: Option<&Path>) -> Result<Self, Error> {
        let tls = match (&uri.scheme, ca_file) {
            (AMQPScheme::AMQP, _) => None,
            (AMQPScheme::AMQPS, Some(path)) => Some(trusting(path).await?),
            (AMQPScheme::AMQPS, None) => Some(as_this_machine().await?),
        };
        Ok(Self {
            host: uri.authority.host.clone(),
            port: uri.authority.port,
            tls,
        })
    }

    /// Connects. Nothing is sent before the certificate was found to be good.
    ///
    /// # Errors
    /// A broker that cannot be reached, or whose certificate is not for its name or of no authority
    /// that is trusted.
    pub async fn dial(&self) -> io::Result<Box<dyn Duplex>> {
        let addresses = names::addresses(&self.host).await?.into_iter();
        let addresses: Vec<_> = addresses.map(|one| (one, self.port).into()).collect();
        let stream = TcpStream::connect(&addresses[..]).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }

    /// The library's connection over this line.
    pub(super) async fn connect(
        self,
        uri: AMQPUri,
        properties: ConnectionProperties,
    ) -> lapin::Result<Connection> {
        let tokio = Tokio::current();
        let runtime = Runtime::new(RuntimeParts::new(tokio.clone(), Lines(tokio)));
        let dial = async move |_uri, _runtime| {
            let stream = self.dial().await?;
            Ok(AsyncTcpStream::Plain(stream.compat()))
        };
        Connection::connector(uri, runtime, dial, properties).await
    }
}

async fn trusting(path: &Path) -> Result<TlsConnector, Error> {
    let pem = tokio::fs::read(path).await;
    let config = pem.and_then(|pem| trust::only(&pem));
    let config = config.map_err(|source| Error::CaFile {
        path: path.to_owned(),
        source,
    })?;
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn as_this_machine() -> Result<TlsConnector, Error> {
    let config = tokio::task::spawn_blocking(trust::as_this_machine).await;
    let config = config.map_err(|error| Error::Down(error.to_string()))?;
    let config =
        config.map_err(|error| Error::Configuration(format!("TLS cannot be used: {error}")))?;
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Tokio, whose connections may be encrypted.
#[derive(Clone, Debug)]
struct Lines(Tokio);

impl Reactor for Lines {
    type TcpStream = Compat<Box<dyn Duplex>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl futures::AsyncRead + futures::AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        addr: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = TcpStream::connect(addr);
        async move {
            let stream: Box<dyn Duplex> = Box::new(connecting.await?);
            Ok(stream.compat())
        }
    }
}
