//! What tests of the broker and of its users share.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use super::{Admin, AdminOptions};

pub(crate) fn amqp_url() -> Option<String> {
    let url = std::env::var("STRATALOG_TEST_AMQP_URL").ok();
    if url.is_none() {
        eprintln!("skipped: STRATALOG_TEST_AMQP_URL is not set");
    }
    url
}

pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}_{:016x}", rand::random::<u64>())
}

pub(crate) async fn admin() -> Option<Admin> {
    let Ok(url) = std::env::var("STRATALOG_TEST_AMQP_MANAGEMENT_URL") else {
        eprintln!("skipped: STRATALOG_TEST_AMQP_MANAGEMENT_URL is not set");
        return None;
    };
    let url = url::Url::parse(&url).unwrap();
    let options = AdminOptions {
        urls: vec![
            "http://127.0.0.1:1".to_owned(),
            format!("http://{}:{}", url.host_str().unwrap(), url.port().unwrap()),
        ],
        username: url.username().to_owned(),
        password: url.password().unwrap_or_default().to_owned(),
        ca_file: None,
    };
    Some(Admin::new(options).await.unwrap())
}

/// Forwards to the broker until told to break, so that tests can cut the line.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) address: String,
    accepting: JoinHandle<()>,
    cuts: watch::Sender<u64>,
    blocked: Arc<AtomicBool>,
}

impl Line {
    pub(crate) async fn to(url: &str, vhost: &str) -> Self {
        let uri: lapin::uri::AMQPUri = url.parse().unwrap();
        let target = (uri.authority.host.clone(), uri.authority.port);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!(
            "amqp://{}:{}@{}/{vhost}",
            uri.authority.userinfo.username,
            uri.authority.userinfo.password,
            listener.local_addr().unwrap()
        );
        let cuts = watch::Sender::new(0);
        let blocked = Arc::new(AtomicBool::new(false));
        let accepting = tokio::spawn(forward(listener, target, cuts.clone(), blocked.clone()));
        Self {
            address,
            accepting,
            cuts,
            blocked,
        }
    }

    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cut, and refuse new connections.
    pub(crate) fn block(&self) {
        self.blocked.store(true, Ordering::SeqCst);
        self.cut();
    }

    pub(crate) fn unblock(&self) {
        self.blocked.store(false, Ordering::SeqCst);
    }
}

async fn forward(
    listener: TcpListener,
    target: (String, u16),
    cuts: watch::Sender<u64>,
    blocked: Arc<AtomicBool>,
) {
    loop {
        let (mut inward, _) = listener.accept().await.unwrap();
        if blocked.load(Ordering::SeqCst) {
            continue;
        }
        let mut outward = TcpStream::connect(&target).await.unwrap();
        let mut cut = cuts.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                _ = copy_bidirectional(&mut inward, &mut outward) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
