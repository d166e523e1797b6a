//! The roles that run beside REST in one process.
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
};

use super::Running;
use crate::{
    agents,
    broker::Broker,
    consumers,
    context::{Context, Roles},
    scheduler, worker, workflow,
};

/// Starts them.
pub(super) fn start(running: &Running) {
    if let Some(broker) = running.ctx.broker.clone() {
        metrics(running, broker);
    }
    if !running.ctx.settings.run_executions {
        return tracing::info!("executions are left to other processes");
    }
    executor(running);
    scheduler(running);
    let Some(broker) = running.ctx.broker.clone() else {
        tracing::warn!("no amqp_url is set: operations are not run");
        return;
    };
    consumers(running, broker.clone());
    agents(running);
    worker(running, broker);
}

/// Says that a role runs, until it is dropped.
struct Runs {
    ctx: Arc<Context>,
    role: fn(&Roles) -> &AtomicBool,
}

impl Runs {
    fn new(ctx: &Arc<Context>, role: fn(&Roles) -> &AtomicBool) -> Self {
        role(&ctx.roles).store(true, Ordering::Relaxed);
        Self {
            ctx: ctx.clone(),
            role,
        }
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        (self.role)(&self.ctx.roles).store(false, Ordering::Relaxed);
    }
}

/// Takes in what plugins and agents tell over RabbitMQ.
fn consumers(running: &Running, broker: Broker) {
    let (ctx, stop) = (running.ctx.clone(), running.drivers.stop_token());
    running.drivers.spawn("logs and events", async move {
        consumers::logs::run(ctx, broker, stop).await;
    });
}

/// Takes in what workers and agents tell of themselves. Every process does, because every one is
/// asked for it.
fn metrics(running: &Running, broker: Broker) {
    let (ctx, stop) = (running.ctx.clone(), running.drivers.stop_token());
    running
        .drivers
        .spawn("metrics", consumers::metrics::run(ctx, broker, stop));
}

/// Asks agents whether they live.
fn agents(running: &Running) {
    let (ctx, stop) = (running.ctx.clone(), running.drivers.stop_token());
    running.drivers.spawn("agents", agents::run(ctx, stop));
}

/// Runs workflows.
fn executor(running: &Running) {
    let (ctx, tasks) = (running.ctx.clone(), running.drivers.clone());
    let runs = Runs::new(&ctx, |roles| &roles.executor);
    running.drivers.spawn("executor", async move {
        workflow::run(ctx, tasks).await;
        drop(runs);
    });
}

/// Starts what is scheduled.
fn scheduler(running: &Running) {
    let (ctx, stop) = (running.ctx.clone(), running.drivers.stop_token());
    running
        .drivers
        .spawn("scheduler", scheduler::run(ctx, stop));
}

/// Runs operations that arrive over RabbitMQ.
fn worker(running: &Running, broker: Broker) {
    let settings = &running.ctx.settings;
    let rest_url = format!("http://{}", reachable(running.addr));
    let work_dir = settings.data_dir.join("worker");
    let python = settings.python.clone();
    let mut options = worker::Options::new(&rest_url, python, work_dir, &settings.manager_name());
    options.ctx_command.clone_from(&settings.ctx_command);
    options.drain_ms = settings.drain_timeout_s.saturating_mul(1_000);
    options.tenants.clone_from(&running.ctx.tenants);
    let amqp = settings.amqp_url.clone();
    options.amqp = amqp.map(|url| (url, settings.amqp_ca_file.clone()));
    options.has_residents = settings.resident_interpreters;
    options.metrics_interval_s = settings.metrics_interval_s;
    let stop = running.drivers.stop_token();
    let runs = Runs::new(&running.ctx, |roles| &roles.worker);
    running.drivers.spawn("worker", async move {
        let ended = worker::run(options, broker, stop).await;
        drop(runs);
        if let Err(error) = ended {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), "the worker cannot start");
        }
    });
}

/// An address that can be connected to: who listens on all addresses is reached on this machine's
/// own.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    addr
}
