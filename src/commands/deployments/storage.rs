//! A deployment as evaluation asks for it: read once, then answered from memory.
use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use stratalog_projections::{
    Condition, ListQuery, Scope, View,
    views::{
        Label, deployments::Deployment, inter_deployment_dependencies::CONSUMER_LABEL, scoped,
    },
};

use super::{MODEL, belonging};
use crate::{
    commands::secrets::Opener,
    dsl::{
        DslError, Exception, Map, Value,
        functions::{self, Storage},
    },
    error::Error,
    store::View as Reader,
};

/// Deployments that may have to be read one after the other for capabilities of capabilities.
const DEPTH_MAX: usize = 8;

/// What is known of a deployment.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) display_name: String,
    pub(super) blueprint_id: String,
    pub(super) tenant: String,
    pub(super) owner: String,
    pub(super) inputs: Map,
    pub(super) labels: Vec<(String, String)>,
    pub(super) nodes: HashMap<String, Arc<Value>>,
    pub(super) instances: Vec<Arc<Value>>,
    /// Ids and names of the deployments that use it.
    pub(super) consumers: Vec<(String, String)>,
    /// Evaluated capabilities of other deployments; nothing for those that do not exist.
    pub(super) others: HashMap<String, Option<Map>>,
    /// Values of secrets; nothing for those that do not exist.
    pub(super) secrets: HashMap<String, Option<Value>>,
}

/// A deployment that notes what it was asked and does not know.
#[derive(Debug)]
pub(super) struct Answering<'k> {
    known: &'k Known,
    missing: RefCell<BTreeSet<String>>,
    missing_secrets: RefCell<BTreeSet<String>>,
}

impl Known {
    /// Reads a deployment, its nodes and instances.
    ///
    /// # Errors
    /// Database errors.
    pub(super) async fn read(view: &Reader, deployment: &Deployment) -> Result<Self, Error> {
        let of = (deployment.tenant_name.as_str(), deployment.id.as_str());
        let nodes = belonging(View::Nodes, of);
        let instances = belonging(View::NodeInstances, of);
        let (nodes, instances) = futures::try_join!(view.select(&nodes), view.select(&instances))?;
        let mut known = Self::of(deployment)?;
        for row in nodes {
            let node: Value = serde_json::from_str(&row.doc).map_err(Error::internal)?;
            let id = node.get("id").and_then(Value::as_str).unwrap_or_default();
            known.nodes.insert(id.to_owned(), Arc::new(node));
        }
        for row in instances {
            let instance: Value = serde_json::from_str(&row.doc).map_err(Error::internal)?;
            known.instances.push(Arc::new(instance));
        }
        known.consumers = consumers(view, deployment).await?;
        Ok(known)
    }

    /// What the deployment says of itself.
    ///
    /// # Errors
    /// `Internal` for inputs that are no object.
    pub(super) fn of(deployment: &Deployment) -> Result<Self, Error> {
        let inputs = deployment.inputs.as_ref().map_or("{}", |json| json.get());
        Ok(Self {
            id: deployment.id.clone(),
            display_name: deployment.display_name.clone(),
            blueprint_id: deployment.blueprint_id.clone(),
            tenant: deployment.tenant_name.clone(),
            owner: deployment.created_by.clone(),
            inputs: serde_json::from_str(inputs).map_err(Error::internal)?,
            labels: pairs(&deployment.labels),
            ..Self::default()
        })
    }

    /// Evaluates something, reading other deployments as far as it asks for their capabilities, and
    /// opening the secrets it asks for.
    ///
    /// # Errors
    /// What evaluation says, and database errors.
    pub(super) async fn evaluate<T>(
        &mut self,
        (view, opener): (&Reader, Opener<'_>),
        depth: usize,
        evaluation: &(dyn Fn(&dyn Storage) -> Result<T, DslError> + Sync),
    ) -> Result<Result<T, DslError>, Error> {
        loop {
            let answering = Answering {
                known: self,
                missing: RefCell::default(),
                missing_secrets: RefCell::default(),
            };
            let outcome = evaluation(&answering);
            let missing = answering.missing.into_inner();
            let secrets = answering.missing_secrets.into_inner();
            if missing.is_empty() && secrets.is_empty() {
                return Ok(outcome);
            }
            for id in missing {
                let of = (self.tenant.as_str(), id.as_str());
                let found = Box::pin(capabilities_of((view, opener), of, depth + 1)).await?;
                self.others.insert(id, found);
            }
            for key in secrets {
                let found = opener.find(view, (&self.tenant, &key)).await?;
                self.secrets.insert(key, found.map(Value::from));
            }
        }
    }
}

fn pairs(labels: &[Label]) -> Vec<(String, String)> {
    let pair = |label: &Label| (label.key.clone(), label.value.clone());
    labels.iter().map(pair).collect()
}

async fn consumers(view: &Reader, deployment: &Deployment) -> Result<Vec<(String, String)>, Error> {
    let keys: Vec<String> = deployment
        .labels
        .iter()
        .filter(|label| label.key == CONSUMER_LABEL)
        .map(|label| scoped(&deployment.tenant_name, &label.value))
        .collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let query = ListQuery::all(MODEL.0, Scope::Everything).with(Condition::Keys(keys));
    let rows = view.pick(&query, &["id", "display_name"]).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(_, values)| {
            let mut values = values.into_iter();
            Some((values.next()??, values.next()??))
        })
        .collect())
}

/// The evaluated capabilities of another deployment; nothing when there is none of that id.
async fn capabilities_of(
    (view, opener): (&Reader, Opener<'_>),
    (tenant, id): (&str, &str),
    depth: usize,
) -> Result<Option<Map>, Error> {
    let found: Option<Deployment> = view.get(&scoped(tenant, id)).await?;
    let Some(deployment) = found.filter(|_| depth <= DEPTH_MAX) else {
        return Ok(None);
    };
    let raw = deployment
        .capabilities
        .as_ref()
        .map_or("{}", |json| json.get());
    let raw: Map = serde_json::from_str(raw).map_err(Error::internal)?;
    let mut known = Known::read(view, &deployment).await?;
    let evaluated = known
        .evaluate((view, opener), depth, &|storage| {
            functions::evaluate_capabilities(storage, &raw)
        })
        .await?;
    Ok(evaluated.ok())
}

fn failed(message: String) -> DslError {
    DslError::new(Exception::FunctionEvaluation, None, message)
}

impl Storage for Answering<'_> {
    fn input(&self, name: &str) -> Result<Option<Value>, DslError> {
        Ok(self.known.inputs.get(name).cloned())
    }

    fn node(&self, id: &str) -> Result<Option<Arc<Value>>, DslError> {
        Ok(self.known.nodes.get(id).cloned())
    }

    fn node_instance(&self, id: &str) -> Result<Option<Arc<Value>>, DslError> {
        let is_it = |instance: &&Arc<Value>| text(instance, "id") == id;
        Ok(self.known.instances.iter().find(is_it).cloned())
    }

    fn node_instances(&self, node_id: &str) -> Result<Vec<Arc<Value>>, DslError> {
        let of_node = |instance: &&Arc<Value>| text(instance, "node_id") == node_id;
        Ok(self
            .known
            .instances
            .iter()
            .filter(of_node)
            .cloned()
            .collect())
    }

    fn secret(&self, name: &str) -> Result<Option<Value>, DslError> {
        if let Some(found) = self.known.secrets.get(name) {
            return Ok(found.clone());
        }
        self.missing_secrets.borrow_mut().insert(name.to_owned());
        Ok(Some(Value::Null))
    }

    fn capability(&self, path: &[Value]) -> Result<Value, DslError> {
        let word = |at: usize| match path.get(at) {
            Some(Value::String(text)) => text.as_ref().to_owned(),
            other => other.map(Value::to_string).unwrap_or_default(),
        };
        let (id, name) = (word(0), word(1));
        let Some(found) = self.known.others.get(&id) else {
            self.missing.borrow_mut().insert(id);
            return Ok(Value::Null);
        };
        let capabilities = found.as_ref().ok_or_else(|| {
            failed(format!(
                "there is no deployment '{id}' to get '{name}' from"
            ))
        })?;
        let mut value = capabilities
            .get(&name)
            .ok_or_else(|| failed(format!("deployment '{id}' has no capability '{name}'")))?;
        for step in path.iter().skip(2) {
            let next = match (value, step) {
                (Value::Object(map), Value::String(key)) => map.get(key),
                (Value::Array(items), Value::Number(at)) => at
                    .as_u64()
                    .and_then(|at| usize::try_from(at).ok())
                    .and_then(|at| items.get(at)),
                _ => None,
            };
            value = next.ok_or_else(|| {
                failed(format!(
                    "capability '{name}' of '{id}' holds nothing at {step}"
                ))
            })?;
        }
        Ok(value.clone())
    }

    fn group_capability(&self, path: &[Value]) -> Result<Value, DslError> {
        let group = path.first().map(Value::to_string).unwrap_or_default();
        Err(failed(format!("there is no deployment group {group}")))
    }

    fn label(&self, key: &str) -> Result<Option<Vec<Value>>, DslError> {
        let values: Vec<Value> = self
            .known
            .labels
            .iter()
            .filter(|(name, _)| name == key)
            .map(|(_, value)| Value::from(value.as_str()))
            .collect();
        Ok((!values.is_empty()).then_some(values))
    }

    fn system(&self, entity: &str, property: &str) -> Result<Value, DslError> {
        let known = self.known;
        let value = match (entity, property) {
            ("tenant", "name") => &known.tenant,
            ("deployment", "id") => &known.id,
            ("deployment", "name") => &known.display_name,
            ("deployment", "blueprint") => &known.blueprint_id,
            ("deployment", "owner") => &known.owner,
            _ => return Err(failed(format!("get_sys knows no {entity} {property}"))),
        };
        Ok(Value::from(value.as_str()))
    }

    fn consumers(&self, property: &str) -> Result<Value, DslError> {
        let consumers = &self.known.consumers;
        Ok(match property {
            "ids" => consumers.iter().map(|(id, _)| id.as_str()).collect(),
            "names" => consumers.iter().map(|(_, name)| name.as_str()).collect(),
            "count" => Value::from(consumers.len()),
            other => return Err(failed(format!("get_consumers knows no '{other}'"))),
        })
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
