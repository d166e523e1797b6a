//! The event an execution begins with.
use serde_json::{Map, Value};
use stratalog_projections::views::deployments::Deployment;
use stratalog_schema::{
    Event,
    events::{ExecutionCreated, Scope},
};
use uuid::Uuid;

use super::{is_hidden, stream};
use crate::{auth::Caller, clock, error::Error, log::NewEvent};

/// An execution to be created.
#[derive(Debug, Clone)]
pub struct NewExecution {
    event: ExecutionCreated,
}

impl NewExecution {
    /// A pending execution with a new id, as the caller asks for it.
    ///
    /// # Errors
    /// 403 without a tenant.
    #[allow(
        clippy::disallowed_methods,
        reason = "ids of executions are minted here"
    )]
    pub fn pending(
        caller: &Caller,
        workflow_id: &str,
        parameters: Map<String, Value>,
    ) -> Result<Self, Error> {
        let id = Uuid::now_v7().to_string();
        let event = ExecutionCreated {
            id,
            scope: Some(Scope {
                tenant: caller.tenant()?.to_owned(),
                visibility: "tenant".to_owned(),
                created_by: caller.username.clone(),
            }),
            workflow_id: workflow_id.to_owned(),
            status: "pending".to_owned(),
            parameters_json: Value::Object(parameters).to_string(),
            is_system_workflow: is_hidden(workflow_id),
            wait_after_fail_s: super::start::WAIT_AFTER_FAIL_S,
            created_at_ms: clock::now_ms(),
            ..ExecutionCreated::default()
        };
        Ok(Self { event })
    }

    /// Of a deployment. Its visibility is the execution's.
    #[must_use]
    pub fn of(mut self, deployment: &Deployment) -> Self {
        self.event.deployment_id = Some(deployment.id.clone());
        self.event.deployment_display_name = Some(deployment.display_name.clone());
        self.event.blueprint_id = Some(deployment.blueprint_id.clone());
        if let Some(scope) = &mut self.event.scope {
            scope.visibility.clone_from(&deployment.visibility);
        }
        self
    }

    /// Of a deployment that is created together with it: `(id, display name)` and the blueprint.
    #[must_use]
    pub fn of_new(mut self, (id, display_name): (&str, &str), blueprint_id: &str) -> Self {
        self.event.deployment_id = Some(id.to_owned());
        self.event.deployment_display_name = Some(display_name.to_owned());
        self.event.blueprint_id = Some(blueprint_id.to_owned());
        self
    }

    /// With another visibility than the tenant's.
    #[must_use]
    pub fn visible(mut self, visibility: &str) -> Self {
        if let Some(scope) = &mut self.event.scope {
            visibility.clone_into(&mut scope.visibility);
        }
        self
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.event.id
    }

    /// Its tenant.
    pub fn tenant(&self) -> &str {
        self.event.scope.as_ref().map_or("", |scope| &scope.tenant)
    }

    /// Its workflow.
    pub fn workflow_id(&self) -> &str {
        &self.event.workflow_id
    }

    /// Its event, to be changed further.
    pub fn event_mut(&mut self) -> &mut ExecutionCreated {
        &mut self.event
    }

    /// The event in its stream.
    pub fn into_event(self) -> NewEvent {
        let tenant = self.event.scope.as_ref().map(|scope| scope.tenant.clone());
        let stream = stream(&tenant.unwrap_or_default(), &self.event.id);
        NewEvent::new(stream, Event::ExecutionCreated(self.event))
    }
}
