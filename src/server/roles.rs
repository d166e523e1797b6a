//! The roles that run beside REST in one process.
use super::{MANAGER_NAME, Running};
use crate::{worker, workflow};

/// Starts them.
pub(super) fn start(running: &Running) {
    let (ctx, drivers) = (running.ctx.clone(), running.drivers.clone());
    running
        .drivers
        .spawn("executor", workflow::run(ctx, drivers));
    worker(running);
}

/// Runs operations that arrive over RabbitMQ.
fn worker(running: &Running) {
    let Some(broker) = running.ctx.broker.clone() else {
        tracing::warn!("no amqp_url is set: operations are not run");
        return;
    };
    let settings = &running.ctx.settings;
    let rest_url = format!("http://{}", reachable(running.addr));
    let work_dir = settings.data_dir.join("worker");
    let options = worker::Options::new(&rest_url, settings.python.clone(), work_dir, MANAGER_NAME);
    let stop = running.drivers.stop_token();
    running.drivers.spawn("worker", async move {
        if let Err(error) = worker::run(options, broker, stop).await {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), "the worker cannot start");
        }
    });
}

/// An address that can be connected to: who listens on all addresses is reached on this machine's
/// own.
fn reachable(mut addr: std::net::SocketAddr) -> std::net::SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    addr
}
