//! Updates of deployments to another blueprint or other inputs. What is new appears at once, in one
//! append; then a workflow takes down, brings up and changes instances; what goes is removed in a
//! last append.
mod begin;
mod differences;
mod finish;
mod initiate;
mod restore;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName,
    views::{deployment_updates::DeploymentUpdate, scoped},
};
use stratalog_schema::{Category, StreamId};

pub use begin::begin;
pub use finish::{finish, remove};
pub use initiate::{Initiate, Initiated, initiate};
pub(crate) use initiate::{initiate_for, initiate_own};
pub use restore::{PatchUpdate, PutUpdate, patch, put, restore};

use super::{json::object, modifications::marked};
use crate::{error::Error, store::View};

/// View and the name that clients see in messages.
pub const MODEL: (ViewName, &str) = (ViewName::DeploymentUpdates, "DeploymentUpdate");

/// State of one that is being prepared.
pub const UPDATING: &str = "updating";
/// State of one that has changed the deployment, and whose workflow goes on.
pub const EXECUTING: &str = "executing_workflow";
/// State of one that did all it was to do.
pub const SUCCESSFUL: &str = "successful";
/// State of one that did not come to its end.
pub const FAILED: &str = "failed";

/// How an update is to go.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Only say what it would do.
    pub preview: bool,
    /// Leave every function to be evaluated at run time.
    pub runtime_only_evaluation: bool,
    /// Pass over deployments that depend on this one, and over updates that go on.
    pub force: bool,
    /// A workflow that does the work instead of ours.
    pub workflow_id: Option<String>,
    /// Instances to install anew whatever has changed.
    pub reinstall_list: Vec<String>,
    /// Taken for older clients: states of updates here follow from their executions at once.
    pub reevaluate_active_statuses: bool,
    /// Inputs of another type are converted.
    pub auto_correct_types: bool,
    /// Taken for older clients: workers install what an operation needs when it runs.
    pub update_plugins: bool,
    /// New instances come before old ones go.
    pub install_first: bool,
    /// Failures of taking instances down are passed over.
    pub ignore_failure: bool,
    /// Install only those anew that are asked for by name.
    pub skip_reinstall: bool,
    /// Leave out whatever takes instances and relationships down.
    pub skip_uninstall: bool,
    /// Leave out whatever brings instances and relationships up.
    pub skip_install: bool,
    /// Do not ask instances whether they are what they should be.
    pub skip_drift_check: bool,
    /// Install anew instead of changing in place.
    pub force_reinstall: bool,
    /// Do not look whether instances are well before they are changed.
    pub skip_heal: bool,
}

/// Parameters of the workflow behind an update.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// The update.
    pub update_id: String,
    /// The blueprint after it.
    pub blueprint_id: String,
    /// Inputs that are given other values.
    pub inputs: Map<String, Value>,
    /// How it is to go.
    #[serde(flatten)]
    pub options: Options,
}

impl Parameters {
    /// Of an execution.
    ///
    /// # Errors
    /// 400 for a value of another type.
    pub fn new(parameters: Map<String, Value>) -> Result<Self, Error> {
        serde_json::from_value(Value::Object(parameters))
            .map_err(|error| Error::bad_parameters(format!("Parameters of update: {error}")))
    }

    fn to_map(&self) -> Result<Map<String, Value>, Error> {
        match serde_json::to_value(self).map_err(Error::internal)? {
            Value::Object(map) => Ok(map),
            _ => Ok(Map::new()),
        }
    }
}

fn stream(tenant: &str, id: &str) -> StreamId {
    StreamId::scoped(Category::DeploymentUpdate, tenant, id)
}

/// The update of a tenant, whoever asks.
///
/// # Errors
/// 404; database errors.
pub async fn load(view: &View, tenant: &str, id: &str) -> Result<DeploymentUpdate, Error> {
    let found: Option<DeploymentUpdate> = view.get(&scoped(tenant, id)).await?;
    found.ok_or_else(|| Error::not_found(MODEL.1, id))
}

/// Updates of a deployment that go on.
async fn active(view: &View, (tenant, id): (&str, &str)) -> Result<Vec<DeploymentUpdate>, Error> {
    let any = |field: &str, of: &[&str]| {
        let values = of.iter().map(|value| (*value).to_owned()).collect();
        Condition::AnyOf(field.to_owned(), values)
    };
    let query = ListQuery::all(MODEL.0, Scope::Everything)
        .with(any("deployment_id", &[id]))
        .with(any("tenant_name", &[tenant]))
        .with(any("state", &[UPDATING, EXECUTING]));
    Ok(view.select_as(&query).await?)
}

/// A relationship of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Its type.
    pub kind: String,
    /// The instance at its other end.
    pub target_id: String,
}

impl Related {
    /// As it is stored with the instance.
    pub(crate) fn of(relationship: &Value) -> Option<Self> {
        let text = |key: &str| relationship.get(key)?.as_str().map(str::to_owned);
        Some(Self {
            kind: text("type")?,
            target_id: text("target_id")?,
        })
    }
}

/// What an update does to instances, as it was found out at its beginning.
#[derive(Debug, Default)]
pub struct Changes {
    /// Instances that are new.
    pub added: BTreeSet<String>,
    /// Instances that go.
    pub removed: BTreeSet<String>,
    /// Relationships that instances gain.
    pub extended: BTreeMap<String, Vec<Related>>,
    /// Relationships that instances lose.
    pub reduced: BTreeMap<String, Vec<Related>>,
    /// Nodes of which operations or properties are others.
    pub modified_nodes: BTreeSet<String>,
}

impl Changes {
    /// Of an update that has been prepared.
    ///
    /// # Errors
    /// `Internal` for a stored document of another shape.
    pub fn of(update: &DeploymentUpdate) -> Result<Self, Error> {
        let instances = object(update.deployment_update_node_instances.as_ref())?;
        let part = |mark: &'static str| -> Vec<&Value> {
            let part = instances.get(&format!("{mark}_and_related"));
            let part = part.and_then(Value::as_array);
            marked(part.map_or(&[], Vec::as_slice), mark).collect()
        };
        let ids = |mark| part(mark).into_iter().filter_map(id_of).collect();
        let related = |mark| {
            let instances = part(mark).into_iter();
            instances
                .filter_map(|one| Some((id_of(one)?, related_of(one))))
                .collect()
        };
        let is_modified = |path: &[String]| path.len() > 2 && path[0] == "nodes";
        Ok(Self {
            added: ids("added"),
            removed: ids("removed"),
            extended: related("extended"),
            reduced: related("reduced"),
            modified_nodes: update
                .steps
                .iter()
                .filter(|step| matches!(step.entity_type.as_str(), "property" | "operation"))
                .filter(|step| is_modified(&step.entity_id))
                .map(|step| step.entity_id[1].clone())
                .collect(),
        })
    }
}

/// Instances that stay as they are, but are related to those that an update adds, extends, reduces
/// or removes (`mark`).
///
/// # Errors
/// `Internal` for a stored document of another shape.
pub fn neighbours(update: &DeploymentUpdate, mark: &str) -> Result<BTreeSet<String>, Error> {
    let instances = object(update.deployment_update_node_instances.as_ref())?;
    let part = instances.get(&format!("{mark}_and_related"));
    let part = part.and_then(Value::as_array).into_iter().flatten();
    let stays = |one: &&Value| one.get("modification").is_none();
    Ok(part.filter(stays).filter_map(id_of).collect())
}

fn id_of(instance: &Value) -> Option<String> {
    instance.get("id")?.as_str().map(str::to_owned)
}

fn related_of(instance: &Value) -> Vec<Related> {
    let all = instance.get("relationships").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(Related::of).collect()
}
