//! Recording dependencies: one, several, or all of a deployment at once.
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_projections::views::{deployments::Deployment, scoped};
use stratalog_schema::{
    Event,
    events::{self, InterDeploymentDependenciesCreated, Scope},
};

use super::{circles, dependents, of_source, stream, taken_away};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{deployments, labels, own_execution, visibility},
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// What is kept of how another manager is reached.
const ADDRESS: [&str; 5] = ["host", "port", "protocol", "api_version", "tenant"];

/// A dependency to record.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NewDependency {
    /// What makes it.
    pub dependency_creator: String,
    /// The deployment it is on.
    #[serde(default)]
    pub target_deployment: Option<String>,
    /// How that is found out: `{function, context}`.
    #[serde(default)]
    pub target_deployment_func: Option<Map<String, Value>>,
    /// The deployment of another manager that depends on the target.
    #[serde(default)]
    pub external_source: Option<Map<String, Value>>,
    /// The deployment of another manager that the source depends on.
    #[serde(default)]
    pub external_target: Option<Map<String, Value>>,
}

impl NewDependency {
    /// Id of the target, where it is a deployment of this manager.
    fn target(&self) -> Option<&str> {
        let target = self.target_deployment.as_deref();
        target.filter(|_| self.external_target.is_none())
    }

    fn event(&self, id: String, target: Option<String>) -> events::NewDependency {
        let text = |map: &Option<Map<String, Value>>| {
            let map = map.clone()?;
            Some(Value::Object(without_credentials(map)).to_string())
        };
        events::NewDependency {
            id,
            dependency_creator: self.dependency_creator.clone(),
            target_deployment_id: target,
            target_deployment_func_json: text(&self.target_deployment_func),
            external_source_json: text(&self.external_source),
            external_target_json: text(&self.external_target),
        }
    }
}

/// How to reach another manager, without what it takes to be let in there: that would be kept for
/// ever, and shown to everybody who may list dependencies.
fn without_credentials(mut external: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Object(client)) = external.get_mut("client_config") {
        client.retain(|name, _| ADDRESS.contains(&name.as_str()));
    }
    external
}

/// A dependency to record, with its source and what only a restore says.
#[derive(Debug, Default, Deserialize)]
pub struct CreateDependency {
    /// The deployment that depends.
    pub source_deployment: String,
    /// What it depends on.
    #[serde(flatten)]
    pub new: NewDependency,
    /// Its id, where it is restored.
    #[serde(default)]
    pub id: Option<String>,
    /// `private`, `tenant` or `global`; that of the source when absent.
    #[serde(default)]
    pub visibility: Option<String>,
    /// Creation of a restored one.
    #[serde(default)]
    pub created_at: Option<Value>,
    /// Creator of a restored one.
    #[serde(default)]
    pub created_by: Option<String>,
}

/// Records a dependency; gives its id.
///
/// # Errors
/// 400, 403; 404 for a source or target that is none; 409 when the target depends on the source.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    new: &CreateDependency,
) -> Result<String, Error> {
    caller.require(Permission::InterDeploymentDependencyCreate)?;
    let wanted = new.visibility.as_deref();
    if wanted.is_some() {
        caller.require(Permission::ResourceSetVisibility)?;
        visibility::of_new(caller, wanted, None)?;
    }
    let restored_at = new.created_at.as_ref().map(labels::moment);
    let restored_at_ms = restored_at.transpose()?.flatten();
    if restored_at_ms.is_some() {
        caller.require(Permission::SetTimestamp)?;
    }
    if new.created_by.is_some() {
        caller.require(Permission::SetOwner)?;
    }
    let id = new.id.clone().unwrap_or_else(own_execution::new_id);
    let (_, ()) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let source = source(view, caller, (&new.source_deployment, &new.new)).await?;
            require_target(view, caller, &new.new).await?;
            let mut decision = Decision::nothing();
            if new.id.is_some() && caller.find(view, super::MODEL.0, &id).await?.is_some() {
                return Err(Error::exists(
                    &format!("Inter-deployment dependency id=`{id}`"),
                    (caller.tenant()?, caller.tenant()?),
                ));
            }
            let mut batch = Batch::of(caller, source.as_ref())?;
            if let Some(wanted) = wanted {
                wanted.clone_into(&mut batch.scope.visibility);
            }
            if let Some(creator) = &new.created_by {
                batch.scope.created_by.clone_from(creator);
            }
            batch.created_at_ms = restored_at_ms.unwrap_or(batch.created_at_ms);
            batch
                .add(view, &mut decision, &[(id.clone(), &new.new)])
                .await?;
            Ok((decision, ()))
        })
        .await?;
    Ok(id)
}

/// Records several dependencies of one source; gives their ids. Targets that do not exist are left
/// open.
///
/// # Errors
/// 403, 404 for a source that is none, 409 when a target depends on it.
pub async fn create_many(
    ctx: &Context,
    caller: &Caller,
    (source_id, new): (&str, &[NewDependency]),
) -> Result<Vec<String>, Error> {
    write_many(ctx, caller, (source_id, new), false).await
}

/// Puts these dependencies in the place of all those of the source; gives their ids.
///
/// # Errors
/// As [`create_many`].
pub async fn replace(
    ctx: &Context,
    caller: &Caller,
    (source_id, new): (&str, &[NewDependency]),
) -> Result<Vec<String>, Error> {
    write_many(ctx, caller, (source_id, new), true).await
}

async fn write_many(
    ctx: &Context,
    caller: &Caller,
    (source_id, new): (&str, &[NewDependency]),
    replaces: bool,
) -> Result<Vec<String>, Error> {
    caller.require(Permission::InterDeploymentDependencyCreate)?;
    let ids: Vec<String> = new.iter().map(|_| own_execution::new_id()).collect();
    let nothing = NewDependency::default();
    let first = new.first().unwrap_or(&nothing);
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let source = source(view, caller, (source_id, first)).await?;
            let batch = Batch::of(caller, source.as_ref())?;
            let mut decision = Decision::nothing();
            if replaces {
                let of = (batch.scope.tenant.as_str(), batch.source_id());
                let mut former = of_source(view, of.0, of.1).await?;
                // of another manager's, only those of the same deployment
                let external = first.external_source.clone().map(Value::from);
                former.retain(|one| {
                    let document = one.external_source.as_ref().map_or("null", |j| j.get());
                    let document: Option<Value> = serde_json::from_str(document).ok();
                    batch.source.is_some() || document == external
                });
                decision.rests_on(view, stream(of.0, of.1)).await?;
                taken_away(&mut decision, of, former);
            }
            let new: Vec<_> = ids.iter().cloned().zip(new).collect();
            batch.add(view, &mut decision, &new).await?;
            Ok((decision, ()))
        })
        .await?;
    Ok(ids)
}

/// The deployment that depends; nothing when it is with another manager.
async fn source(
    view: &View,
    caller: &Caller,
    (id, new): (&str, &NewDependency),
) -> Result<Option<Deployment>, Error> {
    if new.external_source.is_some() {
        return Ok(None);
    }
    let tenant = caller.tenant()?;
    let row = caller.find(view, deployments::MODEL.0, id).await?;
    let own = row.filter(|row| row.owner.tenant.as_deref() == Some(tenant));
    let Some(row) = own else {
        return Err(Error::refused(
            ErrorCode::NotFound,
            format!("Given source deployment with ID `{id}` does not exist."),
        ));
    };
    Ok(Some(row.resource()?))
}

/// There must be a target, a way to find it out, or another manager that knows it.
async fn require_target(view: &View, caller: &Caller, new: &NewDependency) -> Result<(), Error> {
    let tenant = caller.tenant()?;
    let is_known_otherwise = new.target_deployment_func.is_some()
        || new.external_source.is_some()
        || new.external_target.is_some();
    let id = new.target_deployment.as_deref();
    let is_there = match id {
        Some(id) => sees(view, caller, id).await?,
        None => false,
    };
    if let Some(id) = new.target().filter(|_| is_there) {
        deployments::require_staying(view, (tenant, id)).await?;
    }
    if is_there || is_known_otherwise {
        return Ok(());
    }
    Err(no_target(id))
}

/// Whether a deployment of the tenant asked for is there, as far as the caller sees.
pub(super) async fn sees(view: &View, caller: &Caller, id: &str) -> Result<bool, Error> {
    let tenant = caller.tenant()?;
    let row = view.row(deployments::MODEL.0, &scoped(tenant, id)).await?;
    Ok(row.is_some_and(|row| caller.may_see(&row.owner)))
}

pub(super) fn no_target(id: Option<&str>) -> Error {
    Error::refused(
        ErrorCode::NotFound,
        format!(
            "Given target deployment with ID `{}` does not exist. Also the target deployment \
             function has not been provided",
            id.unwrap_or("None")
        ),
    )
}

/// Dependencies of one source that are recorded together.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    source: Option<&'a Deployment>,
    /// Who sees the targets, unless the plan names them.
    caller: Option<&'a Caller>,
    scope: Scope,
    created_at_ms: i64,
}

impl<'a> Batch<'a> {
    fn of(caller: &'a Caller, source: Option<&'a Deployment>) -> Result<Self, Error> {
        let visibility = source.map_or("tenant", |source| source.visibility.as_str());
        Ok(Self {
            source,
            caller: Some(caller),
            scope: Scope {
                tenant: caller.tenant()?.to_owned(),
                visibility: visibility.to_owned(),
                created_by: caller.username.clone(),
            },
            created_at_ms: clock::now_ms(),
        })
    }

    /// What a deployment depends on by itself: all of it is its own.
    pub(super) fn of_deployment(source: &'a Deployment) -> Self {
        Self {
            source: Some(source),
            caller: None,
            scope: Scope {
                tenant: source.tenant_name.clone(),
                visibility: source.visibility.clone(),
                created_by: source.created_by.clone(),
            },
            created_at_ms: clock::now_ms(),
        }
    }

    fn source_id(&self) -> Option<&'a str> {
        self.source.map(|source| source.id.as_str())
    }

    /// Adds dependencies to a decision. Targets that do not exist are left open.
    ///
    /// # Errors
    /// 409 when a target depends on the source; database errors.
    pub(super) async fn add(
        &self,
        view: &View,
        decision: &mut Decision,
        new: &[(String, &NewDependency)],
    ) -> Result<(), Error> {
        if new.is_empty() {
            return Ok(());
        }
        let tenant = self.scope.tenant.as_str();
        let targets: BTreeSet<&str> = new.iter().filter_map(|(_, one)| one.target()).collect();
        let mut there = BTreeSet::new();
        for id in targets {
            if let Some(caller) = self.caller
                && !sees(view, caller, id).await?
            {
                continue;
            }
            if dependents::may_gain(view, (tenant, id)).await? {
                there.insert(id.to_owned());
                // it must not go meanwhile
                let of = deployments::stream(tenant, id);
                decision.rests_on_once(view, of).await?;
                dependents::announced(decision, (tenant, id), self.source_id());
            }
        }
        if let Some(source) = self.source_id() {
            let of = deployments::stream(tenant, source);
            decision.rests_on_once(view, of).await?;
            circles::refuse(view, decision, (tenant, source), &there).await?;
        }
        let of = stream(tenant, self.source_id());
        decision.rests_on_once(view, of).await?;
        let dependencies = new.iter().map(|(id, one)| {
            let target = one.target().filter(|target| there.contains(*target));
            one.event(id.clone(), target.map(str::to_owned))
        });
        let event = InterDeploymentDependenciesCreated {
            scope: Some(self.scope.clone()),
            source_deployment_id: self.source_id().map(str::to_owned),
            created_at_ms: self.created_at_ms,
            dependencies: dependencies.collect(),
        };
        decision.event(
            stream(tenant, self.source_id()),
            Event::InterDeploymentDependenciesCreated(event),
        );
        Ok(())
    }
}
