//! Service tasks for managers and agents.
use std::{
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use super::{
    Role, Worker, agent, consumer,
    plugins::{self, Managed},
    rest::Session,
};
use crate::broker::{
    Delivery,
    wire::{
        PingReply, Request, ServiceTask, TenantRef,
        service::{
            CANCEL_OPERATION, CLUSTER_UPDATE, DELETE_SOURCE_PLUGINS, INSTALL_PLUGIN, PING,
            REPLACE_CA_CERTS, UNINSTALL_PLUGIN,
        },
    },
};

/// Reaches every queue by its name. Answers to a broadcast must not go out through the broadcast's
/// own exchange, where every manager would take them for requests.
const DEFAULT_EXCHANGE: &str = "";

/// Acknowledged before it is done: none of these is worth doing twice.
pub(super) async fn handle(worker: &Arc<Worker>, delivery: Delivery) {
    if let Err(error) = delivery.ack.ack().await {
        debug!(%error, "a service task will come again");
        return;
    }
    let task = match Request::parse(&delivery.body) {
        Ok(Request::Service(task)) => task,
        Ok(Request::Task(_)) => {
            warn!("an operation came in place of a service task");
            return;
        }
        Err(error) => {
            warn!(%error, "a message is no service task");
            return;
        }
    };
    let answer = perform(worker, &task).await;
    if let Some(reply_to) = &delivery.reply_to {
        let id = delivery.correlation_id.as_deref();
        let exchange = match worker.options.role {
            Role::Manager => DEFAULT_EXCHANGE,
            // it may write to nothing else, and the asker has bound its queue there
            Role::Agent { .. } => &delivery.exchange,
        };
        let sent = consumer::send(worker, exchange, reply_to, id, &answer).await;
        if let Err(error) = sent {
            warn!(task = %task.task_name, %error, "a service task stays unanswered");
        }
    }
}

async fn perform(worker: &Arc<Worker>, task: &ServiceTask) -> Value {
    let text = |name: &str| {
        task.kwargs
            .as_ref()
            .and_then(|kwargs| kwargs.get(name))
            .and_then(Value::as_str)
    };
    match task.task_name.as_str() {
        PING => {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            json!(PingReply {
                time: now.as_secs_f64()
            })
        }
        CANCEL_OPERATION => {
            let execution = text("execution_id").unwrap_or_default();
            let killed = worker.running.kill(execution);
            info!(execution, killed, "killed the operations of an execution");
            Value::Null
        }
        INSTALL_PLUGIN | UNINSTALL_PLUGIN => {
            plugin(worker, task);
            Value::Null
        }
        DELETE_SOURCE_PLUGINS => {
            if let (Some(tenant), Some(deployment)) = (text("tenant_name"), text("deployment_id")) {
                delete_source_plugins(&worker.options.work_dir, tenant, deployment).await;
            }
            Value::Null
        }
        CLUSTER_UPDATE | REPLACE_CA_CERTS if worker.options.is_agent() => {
            let kwargs = task.kwargs.clone().unwrap_or_default();
            agent::renew(worker, kwargs).await;
            Value::Null
        }
        other => {
            debug!(task = other, "a service task that is not for this worker");
            Value::Null
        }
    }
}

/// What managers say of a plugin that is to be installed or removed.
#[derive(Debug, Deserialize)]
struct AboutPlugin {
    plugin: Managed,
    rest_token: String,
    tenant: TenantRef,
    /// Names of the managers whose workers are meant.
    #[serde(default)]
    target: Vec<String>,
}

/// Takes its time, so that it does not stand in the way of other messages.
fn plugin(worker: &Arc<Worker>, task: &ServiceTask) {
    let kwargs = task.kwargs.clone().unwrap_or_default();
    let about: AboutPlugin = match serde_json::from_value(Value::Object(kwargs)) {
        Ok(about) => about,
        Err(error) => {
            return warn!(task = %task.task_name, %error, "a service task cannot be understood");
        }
    };
    // an agent is told alone
    let is_meant = about.target.contains(&worker.options.name);
    if !is_meant && !worker.options.is_agent() {
        return;
    }
    let is_install = task.task_name == INSTALL_PLUGIN;
    let worker = worker.clone();
    worker.tasks.clone().spawn(async move {
        let AboutPlugin { plugin, tenant, .. } = &about;
        let session = Session::of_user(worker.rest.clone(), &about.rest_token, &tenant.name);
        let work = async {
            if !is_install {
                plugins::uninstall(&worker, &session, plugin).await;
            } else if let Err(why) = plugins::install(&worker, &session, &tenant.name, plugin).await
            {
                warn!(why, "a plugin was to be installed");
            }
        };
        worker.abort.run_until_cancelled(work).await;
    });
}

async fn delete_source_plugins(root: &Path, tenant: &str, deployment: &str) {
    let plain = |name: &str| !name.is_empty() && name != ".." && name != "." && !name.contains('/');
    if !plain(tenant) || !plain(deployment) {
        warn!(
            tenant,
            deployment, "refused to delete source plugins of an odd name"
        );
        return;
    }
    let path = root.join("source_plugins").join(tenant).join(deployment);
    match tokio::fs::remove_dir_all(&path).await {
        Ok(()) => info!(
            tenant,
            deployment, "deleted the source plugins of a deployment"
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => warn!(tenant, deployment, %error, "source plugins were not deleted"),
    }
}
