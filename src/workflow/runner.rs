//! One execution from its start to its end, or from wherever its last runner left it. Whatever is
//! decided is in the log before anything is done about it; after any trouble the runner begins anew
//! from there.
mod drive;
mod end;
mod heal;
mod plugins;
mod python;
mod scale;
mod update;

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use stratalog_projections::{
    At, View,
    views::{
        deployments::Deployment,
        executions::{Execution, is_end},
        scoped,
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    agents::Agents,
    builtin::{Builtin, Plan},
    errands::Errands,
    operation::Facts,
    routes::Routes,
    settings, system,
    topology::Topology,
};
use crate::{
    auth::Caller,
    broker::{Ack, wire::Response},
    commands::{
        deployments::belonging,
        executions::{self, telemetry},
        plugins_updates,
    },
    context::Context,
    error::Error,
    log::Append,
    store::{Decision, View as Reader},
};

/// Pause before beginning anew after trouble with the database.
const PAUSE: Duration = Duration::from_millis(500);
/// Signals that may wait for a runner.
pub(super) const SIGNALS: usize = 256;

/// What a runner is told.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "signals live in a short queue, and most of them are answers"
)]
pub(super) enum Signal {
    /// An operation was answered. The message is acknowledged once that is in the log.
    Answer {
        id: String,
        response: Response,
        ack: Option<Ack>,
    },
    /// An operation has been brought to its agent.
    Sent(String),
    /// The execution's status was changed, by a request or by this runner.
    Status(String),
}

/// Why a runner stopped short of the execution's end.
#[derive(Debug)]
enum Stop {
    /// The process ends; the next one goes on.
    Draining,
    /// Somebody else ended the execution.
    Over,
    /// It is to be cancelled.
    Cancelled(String),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What an execution comes to.
#[derive(Debug)]
enum Work {
    /// No deployment declares it.
    System,
    /// We know how it goes.
    Builtin(Builtin),
    /// Somebody else does: its declaration.
    Python(Value),
}

/// Runs one execution.
#[derive(Debug)]
pub(super) struct Runner {
    ctx: Arc<Context>,
    tenant: String,
    id: String,
    signals: mpsc::Receiver<Signal>,
    sender: mpsc::Sender<Signal>,
    routes: Routes,
    errands: Errands,
    stop: CancellationToken,
    /// It is in the log who goes on with an execution that another runner began.
    is_noted: bool,
}

impl Runner {
    pub(super) fn new(
        (ctx, routes, stop): (Arc<Context>, Routes, CancellationToken),
        agents: &Agents,
        (tenant, id): (String, String),
        (sender, signals): (mpsc::Sender<Signal>, mpsc::Receiver<Signal>),
    ) -> Self {
        Self {
            errands: Errands::new(&ctx, &tenant, agents, &sender),
            ctx,
            tenant,
            id,
            signals,
            sender,
            routes,
            stop,
            is_noted: false,
        }
    }

    /// Until the execution has ended, or the process does.
    pub(super) async fn run(mut self) {
        self.until_end().await;
        self.signals.close();
        while let Ok(signal) = self.signals.try_recv() {
            if let Signal::Answer { ack, .. } = signal {
                self.give_back(ack).await;
            }
        }
    }

    /// An answer that is not dealt with here comes again, to whoever is there then.
    async fn give_back(&self, ack: Option<Ack>) {
        if let Some(ack) = ack
            && let Err(error) = ack.reject(true).await
        {
            tracing::debug!(execution = self.id, %error, "an answer will come again");
        }
    }

    async fn until_end(&mut self) {
        loop {
            let outcome = Box::pin(self.attempt()).await;
            self.routes.forget(&self.sender);
            let retried = match outcome {
                Ok(()) | Err(Stop::Over | Stop::Draining) => return,
                Err(Stop::Cancelled(status)) => self.cancelled(&status).await,
                Err(Stop::Failed(error)) if error.is_passing() => Err(error),
                Err(Stop::Failed(error)) => self.failed(&error).await,
            };
            let Err(error) = retried else { return };
            tracing::warn!(execution = self.id, %error, "an execution begins anew from the log");
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn attempt(&mut self) -> Result<(), Stop> {
        let execution = self.reload().await?;
        let status = execution.status.as_str();
        if is_end(status) || matches!(status, "queued" | "scheduled") {
            return Err(Stop::Over);
        }
        self.take_over(&execution).await?;
        let work = self.work(&execution).await?;
        if let Work::Python(spec) = &work {
            return self.python(&execution, spec).await;
        }
        match status {
            "pending" | "started" => {}
            status => return Err(Stop::Cancelled(status.to_owned())),
        }
        let is_new = execution.status == "pending";
        let (execution, token) = self.begin(is_new).await?;
        match work {
            Work::Builtin(Builtin::Heal) => self.heal(&execution, &token).await?,
            Work::Builtin(Builtin::Scale) => self.scale(&execution, &token).await?,
            Work::Builtin(builtin) => self.phases(&execution, (builtin, token)).await?,
            Work::System if execution.workflow_id == plugins_updates::WORKFLOW => {
                self.update_plugins(&execution).await?;
            }
            Work::System if is_update(&execution) => self.update(&execution, &token).await?,
            Work::System | Work::Python(_) => {
                let work = system::run(&self.ctx, &execution);
                tokio::select! {
                    done = work => done?,
                    () = self.stop.cancelled() => return Err(Stop::Draining),
                }
            }
        }
        Ok(self.terminated().await?)
    }

    /// What was begun before is taken over.
    async fn take_over(&mut self, execution: &Execution) -> Result<(), Error> {
        if execution.status == "pending" {
            self.is_noted = true;
        }
        if self.is_noted {
            return Ok(());
        }
        let by = json!({"manager_name": self.ctx.settings.manager_name()});
        let append = Append {
            meta: self.caller().meta(),
            events: vec![executions::noted(execution, executions::TAKEN_OVER, &by)],
            ..Append::default()
        };
        self.ctx.store.append(append).await?;
        self.is_noted = true;
        Ok(())
    }

    async fn reload(&self) -> Result<Execution, Stop> {
        let view = self.ctx.store.read(At::Now).await?;
        let execution = executions::find(&view, &self.tenant, &self.id).await?;
        let position = view.head();
        drop(view.finish().await.map_err(Error::from)?);
        // files that another process has put there just now
        let reached = self.ctx.reach(position);
        if self.stop.run_until_cancelled(reached).await.is_none() {
            return Err(Stop::Draining);
        }
        execution.ok_or(Stop::Over)
    }

    fn caller(&self) -> Caller {
        Caller::system(&self.tenant).for_execution(&self.id, &self.tenant)
    }

    /// The execution is started, and there is a token for its operations: the one it has, if it was
    /// started before.
    async fn begin(&self, is_new: bool) -> Result<(Execution, String), Stop> {
        let outcome = self
            .ctx
            .store
            .command(&self.caller().meta(), None, async |view| {
                let view = &*view;
                let found = executions::find(view, &self.tenant, &self.id).await?;
                let Some(mut execution) = found else {
                    return Ok((Decision::nothing(), None));
                };
                let wanted = if is_new { "pending" } else { "started" };
                if execution.status != wanted {
                    return Ok((Decision::nothing(), None));
                }
                let mut decision = match is_new {
                    true => started(view, &mut execution).await?,
                    false => Decision::nothing(),
                };
                let known = executions::clear_token(&self.ctx, &execution).filter(|_| !is_new);
                let token = known.unwrap_or_else(|| {
                    let (token, event) = executions::issue_token(&self.ctx, &self.tenant, &self.id);
                    decision.events.push(event);
                    token
                });
                Ok((decision, Some((execution, token))))
            })
            .await?
            .1;
        // changed meanwhile: look again
        outcome.ok_or_else(|| {
            Stop::Failed(Error::Unavailable(
                "the execution was changed meanwhile".to_owned(),
            ))
        })
    }

    /// What is behind an execution.
    async fn work(&self, execution: &Execution) -> Result<Work, Stop> {
        let declared = match self.deployment(execution).await? {
            Some(deployment) => deployment.workflows,
            None => None,
        };
        let declared: Map<String, Value> = match &declared {
            Some(json) => serde_json::from_str(json.get()).map_err(Error::internal)?,
            None => Map::new(),
        };
        let spec = declared.get(&execution.workflow_id);
        // a workflow of the blueprint that is called like ours does not do its work
        let Some(spec) = spec.filter(|_| !is_update(execution)) else {
            return Ok(Work::System);
        };
        let operation = spec
            .get("operation")
            .and_then(Value::as_str)
            .unwrap_or_default();
        Ok(match Builtin::from_operation(operation) {
            Some(builtin) => Work::Builtin(builtin),
            None => Work::Python(spec.clone()),
        })
    }

    async fn deployment(&self, execution: &Execution) -> Result<Option<Deployment>, Error> {
        let Some(id) = &execution.deployment_id else {
            return Ok(None);
        };
        let view = self.ctx.store.read(At::Now).await?;
        let deployment = view.get(&scoped(&self.tenant, id)).await?;
        drop(view.finish().await?);
        Ok(deployment)
    }

    /// The graphs of a workflow, one after the other.
    async fn phases(
        &mut self,
        execution: &Execution,
        (builtin, token): (Builtin, String),
    ) -> Result<(), Stop> {
        let parameters = executions::parameters_of(execution)?;
        for (index, name) in builtin.phases(&parameters).into_iter().enumerate() {
            // what earlier graphs changed counts
            let (facts, topology) = self.prepare(execution).await?;
            let plan = builtin.plan(index, &topology, &facts.parameters)?;
            let phase = drive::Phase {
                plan,
                name,
                facts,
                topology,
            };
            self.drive(execution, phase, &token).await?;
        }
        Ok(())
    }

    /// One graph under a name of its own, over the deployment as it is now.
    async fn graph(
        &mut self,
        execution: &Execution,
        token: &str,
        (name, plan): (String, Plan),
    ) -> Result<(), Stop> {
        let (facts, topology) = self.prepare(execution).await?;
        let phase = drive::Phase {
            plan,
            name,
            facts,
            topology,
        };
        self.drive(execution, phase, token).await
    }

    /// The deployment as it is now.
    async fn topology(&self, execution: &Execution) -> Result<Topology, Error> {
        let view = self.ctx.store.read(At::Now).await?;
        let topology = read_topology(&view, execution).await?;
        drop(view.finish().await?);
        Ok(topology)
    }

    async fn prepare(&self, execution: &Execution) -> Result<(Facts, Topology), Error> {
        let view = self.ctx.store.read(At::Now).await?;
        let deployment: Option<Deployment> = match &execution.deployment_id {
            Some(id) => view.get(&scoped(&self.tenant, id)).await?,
            None => None,
        };
        let topology = read_topology(&view, execution).await?;
        let retries = settings::retries(&view).await?;
        drop(view.finish().await?);
        let tags = deployment.as_ref().and_then(|d| d.resource_tags.as_ref());
        let tags = match tags {
            Some(json) => serde_json::from_str(json.get()).map_err(Error::internal)?,
            None => Value::Object(Map::new()),
        };
        let settings = &self.ctx.settings;
        let facts = Facts {
            execution_id: execution.id.clone(),
            workflow_id: execution.workflow_id.clone(),
            tenant: self.tenant.clone(),
            created_by: execution.created_by.clone(),
            parameters: executions::parameters_of(execution)?,
            // an update changes it under way
            blueprint_id: deployment
                .as_ref()
                .map(|deployment| deployment.blueprint_id.clone())
                .or_else(|| execution.blueprint_id.clone()),
            deployment_id: execution.deployment_id.clone(),
            deployment_display_name: execution.deployment_display_name.clone(),
            deployment_creator: deployment.map(|deployment| deployment.created_by),
            deployment_resource_tags: tags,
            rest_host: vec![settings.advertised_host.clone()],
            rest_port: settings.internal_listen.port(),
            retries,
        };
        Ok((facts, topology))
    }
}

/// Whether it is the workflow behind an update of the deployment.
fn is_update(execution: &Execution) -> bool {
    let names_one = |execution: &Execution| {
        let parameters = executions::parameters_of(execution);
        parameters.is_ok_and(|parameters| parameters.contains_key("update_id"))
    };
    execution.workflow_id == "update" && names_one(execution)
}

async fn read_topology(view: &Reader, execution: &Execution) -> Result<Topology, Error> {
    let Some(id) = &execution.deployment_id else {
        return Ok(Topology::default());
    };
    let within = |of: View| belonging(of, (&execution.tenant_name, id));
    let nodes = view.select_as(&within(View::Nodes)).await?;
    let instances = view.select_as(&within(View::NodeInstances)).await?;
    Topology::new(nodes, instances)
}

async fn started(view: &Reader, execution: &mut Execution) -> Result<Decision, Error> {
    let mut decision = executions::status_decision(view, execution, ("started", None)).await?;
    let verb = if execution.resume {
        "Resuming"
    } else {
        "Starting"
    };
    let text = format!("{verb} '{}' workflow execution", execution.workflow_id);
    decision
        .telemetry
        .push(end::told(execution, "workflow_started", text));
    Ok(decision)
}

/// A line in the log of an execution.
fn line(
    execution: &Execution,
    level: &str,
    text: String,
) -> stratalog_schema::events::TelemetryRecord {
    telemetry::log(execution, level, text)
}
