//! A virtual host per test on the shared RabbitMQ node.

use std::thread;

use reqwest::Method;
use uuid::Uuid;

use super::env;

/// An empty virtual host. It goes when the test ends well and stays when it fails.
#[derive(Debug)]
pub(crate) struct TestBroker {
    vhost: String,
    url: String,
}

impl TestBroker {
    pub(crate) async fn new() -> Self {
        let vhost = format!("test_{}", Uuid::now_v7().simple());
        // Whoever makes a virtual host gets all rights in it.
        manage(Method::PUT, &vhost).await;
        let mut url = url::Url::parse(&env::amqp_url()).unwrap();
        url.set_path(&vhost);
        Self {
            vhost,
            url: url.into(),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn vhost(&self) -> &str {
        &self.vhost
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("kept for a look: {}", self.url);
            return;
        }
        let vhost = self.vhost.clone();
        // The test's own runtime may be on its way out: this needs one of its own.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(manage(Method::DELETE, &vhost));
            Ok::<(), std::io::Error>(())
        });
        assert!(
            matches!(dropped.join(), Ok(Ok(()))),
            "cannot delete {}",
            self.vhost
        );
    }
}

async fn manage(method: Method, vhost: &str) {
    // The HTTP client wants a TLS provider even where there is no TLS; a second one is refused.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let url = format!("{}/api/vhosts/{vhost}", env::amqp_management_url());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let reply = client.request(method, url).send().await.unwrap();
    assert!(reply.status().is_success(), "{vhost}: {}", reply.status());
}

#[tokio::test]
async fn a_virtual_host_can_be_entered() {
    let broker = TestBroker::new().await;
    assert!(broker.url().ends_with(broker.vhost()));
    let connection =
        lapin::Connection::connect(broker.url(), lapin::ConnectionProperties::default())
            .await
            .unwrap();
    connection.create_channel().await.unwrap();
}
