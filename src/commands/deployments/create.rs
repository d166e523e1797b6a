//! Creating a deployment: its row and the execution that makes its environment, in one append; or,
//! restored, all of it at once.
use serde_json::{Map, Value, json};
use stratalog_projections::{
    View,
    views::{blueprints::Blueprint, deployments::Deployment, executions::Execution},
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{DeploymentChanged, DeploymentCreated, ExecutionCreated, File, FilesStored, Scope},
    time::wire,
};

use super::{CREATE_WORKFLOW, MODEL, belonging, delete::deleted, inputs, stream, tree, visibility};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        blueprints, ids,
        labels::{self, Wanted},
        own_execution, plugins, sites,
        visibility::of_new,
    },
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View as Reader},
};

/// A deployment to create.
#[derive(Debug, Default)]
pub struct CreateDeployment {
    /// Its id.
    pub id: String,
    /// Its blueprint.
    pub blueprint_id: String,
    /// Input values.
    pub inputs: Map<String, Value>,
    /// Name for people; the id when absent.
    pub display_name: Option<String>,
    /// Its labels.
    pub labels: Vec<Wanted>,
    /// `private`, `tenant` or `global`.
    pub visibility: Option<String>,
    /// Older form of the former.
    pub private_resource: Option<bool>,
    /// Its site.
    pub site_name: Option<String>,
    /// Leave every function to be evaluated at run time.
    pub runtime_only_evaluation: bool,
    /// Do not look whether its plugins are there.
    pub skip_plugins_validation: bool,
    /// Creation of a restored one.
    pub created_at_ms: Option<i64>,
    /// Creator of a restored one.
    pub created_by: Option<String>,
    /// Everything else of a restored one; no execution runs then.
    pub restored: Option<Restored>,
}

/// What a restored deployment brings with it.
#[derive(Debug, Default)]
pub struct Restored {
    /// Its attributes; identity and times are set here.
    pub attributes: DeploymentChanged,
    /// Files of its working directory, content in the blob store, paths relative to it.
    pub workdir: Vec<File>,
}

/// What became of it.
#[derive(Debug)]
pub struct Created {
    /// The execution that makes the environment, if any.
    pub execution: Option<String>,
    /// Position of the log after it.
    pub position: i64,
}

/// Creates a deployment.
///
/// # Errors
/// 400 for bad inputs or a blueprint that is not ready, 403, 404, 409 when the id is taken.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    new: &CreateDeployment,
) -> Result<Created, Error> {
    caller.require(Permission::DeploymentCreate)?;
    let tenant = caller.tenant()?;
    ids::check_any_start("deployment_id", &new.id)?;
    let visibility = of_new(caller, new.visibility.as_deref(), new.private_resource)?;
    if new.created_at_ms.is_some() {
        caller.require(Permission::SetTimestamp)?;
    }
    if new.created_by.is_some() {
        caller.require(Permission::SetOwner)?;
    }
    let execution = new.restored.is_none().then(own_execution::new_id);
    let creator = new.created_by.as_ref().unwrap_or(&caller.username);
    let scope = Scope {
        tenant: tenant.to_owned(),
        visibility,
        created_by: creator.clone(),
    };
    let (appended, ()) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            require_not_cancelling(view, caller).await?;
            let mut decision = Decision::nothing();
            let environment = execution.as_ref().map(|id| NewEnvironment {
                execution: id.clone(),
                ..NewEnvironment::default()
            });
            let place = (&scope, environment.as_ref());
            add(view, caller, (&mut decision, new), place).await?;
            Ok((decision, ()))
        })
        .await?;
    Ok(Created {
        execution,
        position: appended.last_position,
    })
}

/// The execution that is to make the environment of a new deployment.
#[derive(Debug, Default)]
pub(crate) struct NewEnvironment {
    /// Its id.
    pub(crate) execution: String,
    /// Whether it waits for others to end.
    pub(crate) is_queued: bool,
    /// The group it belongs to.
    pub(crate) group: Option<String>,
}

/// Adds a new deployment to a decision.
///
/// # Errors
/// As [`create`].
pub(crate) async fn add(
    view: &Reader,
    caller: &Caller,
    (decision, new): (&mut Decision, &CreateDeployment),
    (scope, environment): (&Scope, Option<&NewEnvironment>),
) -> Result<(), Error> {
    let tenant = scope.tenant.as_str();
    check_blueprint(view, caller, new, &scope.visibility).await?;
    if let Some(site) = &new.site_name {
        let of = (new.id.as_str(), scope.visibility.as_str());
        let place = sites::check_deployment(view, caller, site, of).await?;
        decision.rests_on(view, place).await?;
    }
    decision.rests_on(view, stream(tenant, &new.id)).await?;
    make_room(view, decision, (tenant, &new.id), &scope.visibility).await?;
    decide(decision, new, scope, (environment, clock::now_ms()));
    Ok(())
}

/// Refuses what an execution must not begin while it is being cancelled.
///
/// # Errors
/// 403.
pub(crate) async fn require_not_cancelling(view: &Reader, caller: &Caller) -> Result<(), Error> {
    let own = own_execution::load(view, caller).await?;
    if !own.is_some_and(|execution| execution.status.contains("cancelling")) {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::ForbiddenWhileCancelling,
        "This cannot be done by an execution that is being cancelled",
    ))
}

async fn check_blueprint(
    view: &Reader,
    caller: &Caller,
    new: &CreateDeployment,
    visibility: &str,
) -> Result<(), Error> {
    let row = caller
        .get(view, blueprints::MODEL, &new.blueprint_id)
        .await?;
    let blueprint: Blueprint = row.resource()?;
    if visibility == "global" && blueprint.visibility != "global" {
        return Err(Error::refused(
            ErrorCode::Forbidden,
            format!(
                "Can't create global deployment {} because blueprint {} is not global",
                new.id, blueprint.id
            ),
        ));
    }
    visibility::require_within(&blueprint, (&new.id, visibility))?;
    if blueprint.state != "uploaded" {
        return Err(Error::refused(
            ErrorCode::DeploymentCreation,
            format!(
                "Unable to create a deployment based on a blueprint which is not `uploaded` but: \
                 `{}`",
                blueprint.state
            ),
        ));
    }
    if new.restored.is_some() {
        return Ok(());
    }
    let plan = blueprint.plan.as_ref().map_or("{}", |plan| plan.get());
    let plan: Map<String, Value> = serde_json::from_str(plan).map_err(Error::internal)?;
    inputs::check(&plan, &new.inputs)?;
    if new.skip_plugins_validation {
        return Ok(());
    }
    check_plugins(view, caller, &plan).await
}

/// Every plugin a plan wants installed must be there; what a blueprint brings along itself is not
/// asked for.
async fn check_plugins(
    view: &Reader,
    caller: &Caller,
    plan: &Map<String, Value>,
) -> Result<(), Error> {
    for section in [
        "deployment_plugins_to_install",
        "workflow_plugins_to_install",
    ] {
        let declared = plan.get(section).and_then(Value::as_array);
        for plugin in declared.into_iter().flatten() {
            let text = |key: &str| plugin.get(key).and_then(Value::as_str);
            let is_wanted = plugin.get("install") == Some(&Value::Bool(true));
            let Some(name) = text("package_name").filter(|_| is_wanted) else {
                continue;
            };
            let wanted = (name, text("package_version"));
            if text("source").is_none() && !plugins::is_uploaded(view, caller, wanted).await? {
                let version = wanted.1.unwrap_or("any");
                return Err(Error::refused(
                    ErrorCode::DeploymentPluginNotFound,
                    format!(
                        "Required plugin {name}, version {version} is not installed on the manager"
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// An earlier attempt of which nothing came but a failed environment makes room.
async fn make_room(
    view: &Reader,
    decision: &mut Decision,
    (tenant, id): (&str, &str),
    visibility: &str,
) -> Result<(), Error> {
    for row in blueprints::namesakes(view, MODEL.0, (tenant, id), visibility).await? {
        let other: Deployment = row.resource()?;
        let is_own = other.tenant_name == tenant;
        if is_own && is_failed_attempt(view, (tenant, id)).await? {
            deleted(view, decision, (tenant, id)).await?;
            continue;
        }
        let what = format!("Deployment id=`{id}`");
        return Err(Error::exists(&what, (&other.tenant_name, tenant)));
    }
    Ok(())
}

async fn is_failed_attempt(view: &Reader, of: (&str, &str)) -> Result<bool, Error> {
    let query = belonging(View::Executions, of);
    let executions: Vec<Execution> = view.select_as(&query).await?;
    Ok(matches!(
        executions.as_slice(),
        [only] if only.workflow_id == CREATE_WORKFLOW && only.status == "failed"
    ))
}

fn decide(
    decision: &mut Decision,
    new: &CreateDeployment,
    scope: &Scope,
    (environment, now_ms): (Option<&NewEnvironment>, i64),
) {
    let execution = environment.map(|environment| environment.execution.as_str());
    let tenant = scope.tenant.as_str();
    let of = stream(tenant, &new.id);
    let attached = labels::replaced(&[], &new.labels, (now_ms, &scope.created_by));
    let created_at_ms = new.created_at_ms.unwrap_or(now_ms);
    let created = DeploymentCreated {
        id: new.id.clone(),
        scope: Some(scope.clone()),
        blueprint_id: new.blueprint_id.clone(),
        display_name: new.display_name.clone().unwrap_or_else(|| new.id.clone()),
        created_at_ms,
        runtime_only_evaluation: new.runtime_only_evaluation,
        site_name: new.site_name.clone(),
        create_execution: execution.map(str::to_owned),
        labels: attached,
        deployment_status: "requires_attention".to_owned(),
    };
    let change = |attributes: DeploymentChanged| {
        Event::DeploymentChanged(DeploymentChanged {
            id: new.id.clone(),
            tenant: tenant.to_owned(),
            updated_at_ms: created_at_ms,
            ..attributes
        })
    };
    decision.event(of.clone(), Event::DeploymentCreated(created.clone()));
    if let Some(restored) = &new.restored {
        decision.event(of, change(restored.attributes.clone()));
        workdir(decision, &tree(tenant, &new.id), &restored.workdir);
        return;
    }
    let Some(environment) = environment else {
        return;
    };
    let execution = environment.execution.as_str();
    decision.event(
        StreamId::scoped(Category::Execution, tenant, execution),
        Event::ExecutionCreated(start(new, &created, environment, now_ms)),
    );
    let latest = DeploymentChanged {
        latest_execution: Some(execution.to_owned()),
        latest_execution_status: Some("in_progress".to_owned()),
        latest_execution_workflow_id: Some(CREATE_WORKFLOW.to_owned()),
        ..DeploymentChanged::default()
    };
    decision.event(of, change(latest));
}

/// The execution that makes the environment.
fn start(
    new: &CreateDeployment,
    created: &DeploymentCreated,
    environment: &NewEnvironment,
    now_ms: i64,
) -> ExecutionCreated {
    let labels = created.labels.iter().map(|label| {
        json!({
            "key": label.key,
            "value": label.value,
            "created_at": wire(label.created_at_ms),
            "created_by": label.created_by,
        })
    });
    let parameters = json!({
        "inputs": new.inputs,
        "labels": labels.collect::<Vec<Value>>(),
        "display_name": new.display_name,
    });
    ExecutionCreated {
        id: environment.execution.clone(),
        execution_group_id: environment.group.clone(),
        scope: created.scope.clone(),
        workflow_id: CREATE_WORKFLOW.to_owned(),
        status: match environment.is_queued {
            true => "queued".to_owned(),
            false => "pending".to_owned(),
        },
        parameters_json: parameters.to_string(),
        allow_custom_parameters: true,
        created_at_ms: now_ms,
        deployment_id: Some(created.id.clone()),
        deployment_display_name: Some(created.display_name.clone()),
        blueprint_id: Some(created.blueprint_id.clone()),
        ..ExecutionCreated::default()
    }
}

fn workdir(decision: &mut Decision, tree: &str, files: &[File]) {
    if files.is_empty() {
        return;
    }
    let files = files.iter().map(|file| File {
        path: format!("{tree}/{}", file.path),
        ..file.clone()
    });
    decision.event(
        StreamId::global(Category::Files, tree),
        Event::FilesStored(FilesStored {
            files: files.collect(),
        }),
    );
}
