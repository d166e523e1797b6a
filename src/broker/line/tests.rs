//! Whom a line leads to, and whom it does not.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Listens with a certificate for `localhost`, and sends back the first byte of each connection;
/// its port.
async fn listen(authority: &Authority) -> u16 {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // whoever does not trust us goes away
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let byte = stream.read_u8().await.unwrap();
                stream.write_u8(byte).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
    });
    port
}

async fn dial(url: &str, ca_file: Option<&Path>) -> io::Result<u8> {
    let line = Line::to(&address(url).unwrap(), ca_file).await;
    let mut stream = line.map_err(io::Error::other)?.dial().await?;
    stream.write_u8(7).await?;
    stream.flush().await?;
    stream.read_u8().await
}

#[tokio::test]
async fn a_certificate_of_somebody_else_or_for_another_name_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let file = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let good = file("good.pem", ours.pem());
    let both = file("both.pem", format!("{}{}", theirs.pem(), ours.pem()));
    let wrong = file("wrong.pem", theirs.pem());
    let port = listen(&ours).await;
    let (named, numbered) = (
        format!("amqps://u:p@localhost:{port}/%2f"),
        format!("amqps://u:p@127.0.0.1:{port}/%2f"),
    );
    for trusted in [&good, &both] {
        assert_eq!(dial(&named, Some(trusted)).await.unwrap(), 7);
    }
    for (url, trusted, why) in [
        (&named, Some(&wrong), "UnknownIssuer"),
        (&named, None, "UnknownIssuer"),
        (&numbered, Some(&good), "not valid for name"),
    ] {
        let refused = dial(url, trusted.map(|path| path.as_path())).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn a_file_without_certificates_is_none_of_authorities() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let uri = address("amqps://[::1]:5671/%2f").unwrap();
    let refused = Line::to(&uri, Some(&path)).await.unwrap_err();
    assert!(matches!(refused, Error::CaFile { .. }), "{refused}");
    std::fs::write(&path, "nothing").unwrap();
    let refused = Line::to(&uri, Some(&path)).await.unwrap_err();
    assert!(matches!(refused, Error::CaFile { .. }), "{refused}");
    let plain = address("amqp://[::1]:5672/%2f").unwrap();
    let line = Line::to(&plain, Some(&path)).await.unwrap();
    assert_eq!((line.host.as_str(), line.port), ("::1", 5672));
}
