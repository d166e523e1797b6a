//! Workflows written in Python. A worker runs them with the library they are written for; they say
//! themselves when they begin and how they end. What is done here is to hand them over and to wait.
use serde_json::{Value, json};
use stratalog_projections::{
    At,
    views::{
        blueprints::Blueprint,
        executions::{Execution, is_end},
    },
};

use super::{Runner, Signal, Stop};
use crate::{
    broker::{
        Message,
        topology::{MANAGEMENT_EXCHANGE, WORKFLOW_ROUTING_KEY},
        wire::{Plugin, TenantRef, WorkflowContext, WorkflowDeployment, WorkflowTask},
    },
    commands::{blueprints, executions, json::object},
    error::{Error, ErrorCode},
    store::Decision,
    workflow::outbox::RETRY,
};

const PENDING: &str = "pending";
const KILLED: &str = "kill_cancelling";

impl Runner {
    /// Until the workflow has ended. `spec` is its declaration. One that was begun is with a
    /// worker, or with the broker, which gives it to another one.
    pub(super) async fn python(&mut self, execution: &Execution, spec: &Value) -> Result<(), Stop> {
        match execution.status.as_str() {
            KILLED => return Err(Stop::Cancelled(KILLED.to_owned())),
            PENDING => self.hand_over(execution, spec).await?,
            _ => {}
        }
        loop {
            self.news().await?;
        }
    }

    /// Waits for a change of the execution's status, and says if it has to do with the runner.
    async fn news(&mut self) -> Result<(), Stop> {
        let signal = tokio::select! {
            () = self.stop.cancelled() => return Err(Stop::Draining),
            signal = self.signals.recv() => signal,
            () = tokio::time::sleep(super::drive::LOOK_AGAIN) => None,
        };
        let status = match signal {
            None => self.reload().await?.status,
            Some(Signal::Status(status)) => status,
            Some(Signal::Sent(_)) => return Ok(()),
            Some(Signal::Answer { ack, .. }) => {
                self.give_back(ack).await;
                return Ok(());
            }
        };
        match status.as_str() {
            KILLED => Err(Stop::Cancelled(status)),
            "deleted" | "queued" => Err(Stop::Over),
            ended if is_end(ended) => Err(Stop::Over),
            _ => Ok(()),
        }
    }

    /// Sends it to the workers, however long the broker is away. A token of its own each time makes
    /// void what a former runner may have sent.
    async fn hand_over(&mut self, execution: &Execution, spec: &Value) -> Result<(), Stop> {
        let Some(broker) = self.ctx.broker.clone() else {
            return Err(Stop::Failed(Error::refused(
                ErrorCode::NonexistentWorkflow,
                format!(
                    "The workflow {} is written in Python: without a message broker there is no \
                     worker to run it",
                    execution.workflow_id
                ),
            )));
        };
        let Some(token) = self.new_token().await? else {
            return Ok(());
        };
        let task = self.task(execution, spec, token).await?;
        let body = task.to_body().map_err(Error::internal)?;
        let message = Message::json(MANAGEMENT_EXCHANGE, WORKFLOW_ROUTING_KEY, &body);
        let message = message.map_err(Error::internal)?;
        loop {
            match broker.publish(&message).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::debug!(execution = self.id, %error, "a workflow waits for the broker");
                }
            }
            let waited = tokio::time::timeout(RETRY, self.news()).await;
            waited.unwrap_or(Ok(()))?;
        }
    }

    /// Nothing when the execution is not pending any more.
    async fn new_token(&self) -> Result<Option<String>, Error> {
        let decide = async |view: std::sync::Arc<crate::store::View>| {
            let found = executions::find(&view, &self.tenant, &self.id).await?;
            let mut decision = Decision::nothing();
            let is_pending = found.is_some_and(|execution| execution.status == PENDING);
            let token = is_pending.then(|| {
                let (token, event) = executions::issue_token(&self.ctx, &self.tenant, &self.id);
                decision.events.push(event);
                token
            });
            Ok((decision, token))
        };
        let meta = self.caller().meta();
        let (_, token) = self.ctx.store.command(&meta, None, decide).await?;
        Ok(token)
    }

    async fn task(
        &self,
        execution: &Execution,
        spec: &Value,
        token: String,
    ) -> Result<WorkflowTask, Error> {
        let (facts, _) = self.prepare(execution).await?;
        let text = |key: &str| spec.get(key).and_then(Value::as_str).unwrap_or_default();
        let deployment = facts.deployment_id.map(|deployment_id| WorkflowDeployment {
            deployment_id,
            deployment_display_name: facts.deployment_display_name,
            deployment_creator: facts.deployment_creator,
            deployment_resource_tags: Some(facts.deployment_resource_tags),
            blueprint_id: facts.blueprint_id,
            runtime_only_evaluation: Some(false),
        });
        Ok(WorkflowTask {
            id: execution.id.clone(),
            execution_creator: 0,
            parameters: facts.parameters,
            context: WorkflowContext {
                kind: "workflow".to_owned(),
                task_id: execution.id.clone(),
                execution_id: execution.id.clone(),
                task_name: text("operation").to_owned(),
                workflow_id: execution.workflow_id.clone(),
                dry_run: execution.is_dry_run,
                is_system_workflow: false,
                execution_creator_username: Some(execution.created_by.clone()),
                task_target: MANAGEMENT_EXCHANGE.to_owned(),
                tenant: TenantRef::new(self.tenant.clone()),
                resume: Some(execution.resume),
                wait_after_fail: Some(execution.own.wait_after_fail_s),
                bypass_maintenance: None,
                execution_token: token.clone(),
                rest_token: token,
                rest_host: facts.rest_host,
                rest_port: facts.rest_port,
                deployment,
                plugin: self.plugin(execution, text("plugin")).await?,
            },
        })
    }

    /// What the blueprint says of the workflow's plugin.
    async fn plugin(&self, execution: &Execution, name: &str) -> Result<Option<Plugin>, Error> {
        let Some(id) = &execution.blueprint_id else {
            return Ok(None);
        };
        let view = self.ctx.store.read(At::Now).await?;
        let row = self.caller().get(&view, blueprints::MODEL, id).await?;
        drop(view.finish().await?);
        let blueprint: Blueprint = row.resource()?;
        let plan = object(blueprint.plan.as_ref())?;
        let all = plan.get("workflow_plugins_to_install");
        let found = all.and_then(Value::as_array).and_then(|plugins| {
            let is_it = |plugin: &&Value| plugin.get("name").and_then(Value::as_str) == Some(name);
            plugins.iter().find(is_it)
        });
        Ok(found.map(|plugin| {
            let text = |key: &str| plugin.get(key).and_then(Value::as_str).map(str::to_owned);
            let properties = plugin.get("properties").filter(|p| !p.is_null());
            Plugin {
                name: Some(name.to_owned()),
                package_name: text("package_name"),
                package_version: text("package_version"),
                source: text("source"),
                extra: Plugin::arguments(text("install_arguments")),
                properties: properties.cloned().unwrap_or_else(|| json!({})),
                ..Plugin::default()
            }
        }))
    }
}
