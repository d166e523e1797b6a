//! What the manager knows of the objects that inputs name: blueprints, deployments,
//! secrets, and what is in a deployment or blueprint. The language asks without waiting, so what it
//! asks is noted, looked up, and asked again.
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Mutex,
};

use serde_json::{Map, Value, json};
use stratalog_projections::{
    At, Condition, ListQuery, View as ViewName,
    views::{deployments::Deployment, nodes::Node},
};

use super::{
    constraints::Constraints,
    deployments::{self, belonging},
    filters,
    json::object,
    secrets::Opener,
};
use crate::{
    auth::Permission,
    dsl::{self, DslError, constraints::ValuesGetter, planner::Getters},
    error::Error,
    store::View,
};

/// One question: is there an object of this type and name that answers to the query?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Question {
    declared: String,
    /// JSON of the name.
    value: String,
    /// JSON of the query.
    query: String,
}

/// What was asked so far, with the answers.
#[derive(Debug)]
pub(crate) struct Lookups {
    /// Where nodes and the like are looked for when nothing says in which deployment.
    plan: dsl::Plan,
    /// The deployment in which they are looked for instead.
    home: Option<String>,
    /// Keys of the secrets there are.
    secrets: HashSet<String>,
    known: HashMap<Question, bool>,
    open: Mutex<BTreeSet<Question>>,
}

impl Getters for Lookups {
    fn has_secret(&self, name: &str) -> Option<Result<bool, DslError>> {
        Some(Ok(self.secrets.contains(name)))
    }

    fn values(&self) -> Option<&dyn ValuesGetter> {
        Some(self)
    }
}

impl ValuesGetter for Lookups {
    fn has_blueprint_id(&self) -> bool {
        true
    }

    fn has_deployment_id(&self) -> bool {
        self.home.is_some()
    }

    /// What is not known yet is taken to be there, so that one pass asks everything.
    fn get(
        &self,
        declared: &str,
        value: &dsl::Value,
        query: &dsl::Map,
    ) -> Result<Vec<dsl::Value>, DslError> {
        let question = Question {
            declared: declared.to_owned(),
            value: value.to_string(),
            query: dsl::Value::from(query).to_string(),
        };
        let is_there = self.known.get(&question).copied().unwrap_or_else(|| {
            let mut open = self
                .open
                .lock()
                .unwrap_or_else(|broken| broken.into_inner());
            open.insert(question);
            true
        });
        Ok(is_there.then(|| value.clone()).into_iter().collect())
    }
}

impl Lookups {
    pub(crate) fn new(plan: dsl::Plan, secrets: HashSet<String>) -> Self {
        Self {
            plan,
            home: None,
            secrets,
            known: HashMap::new(),
            open: Mutex::default(),
        }
    }

    /// For parameters of what runs in a deployment.
    pub(crate) fn in_deployment(id: &str) -> Self {
        Self {
            home: Some(id.to_owned()),
            ..Self::new(dsl::Plan::new(dsl::Map::new()), HashSet::new())
        }
    }

    /// Looks up what was asked since the last time. Gives whether anything was: then whatever rests
    /// on the answers is to be done again.
    ///
    /// # Errors
    /// 400 for constraints that are none, 404 for a deployment or filter that is none; database
    /// errors.
    pub(crate) async fn fill(&mut self, opener: Opener<'_>) -> Result<bool, Error> {
        if self.open().is_empty() {
            return Ok(false);
        }
        let view = opener.ctx.store.read(At::Now).await?;
        let is_more = self.fill_from(&view, opener).await?;
        drop(view.finish().await?);
        Ok(is_more)
    }

    /// As [`Lookups::fill`], at the moment of a view.
    ///
    /// # Errors
    /// As [`Lookups::fill`].
    pub(crate) async fn fill_from(
        &mut self,
        view: &View,
        opener: Opener<'_>,
    ) -> Result<bool, Error> {
        let open = std::mem::take(self.open());
        let is_more = !open.is_empty();
        for question in open {
            let found = self.answer(view, opener, &question).await?;
            self.known.insert(question, found);
        }
        Ok(is_more)
    }

    fn open(&mut self) -> &mut BTreeSet<Question> {
        self.open
            .get_mut()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    async fn answer(
        &self,
        view: &View,
        opener: Opener<'_>,
        question: &Question,
    ) -> Result<bool, Error> {
        let value: Value = serde_json::from_str(&question.value).map_err(Error::internal)?;
        let query: Map<String, Value> =
            serde_json::from_str(&question.query).map_err(Error::internal)?;
        let mut constraints = constraints(&question.declared, &query)?;
        if constraints.deployment_id.is_none() {
            constraints.deployment_id.clone_from(&self.home);
        }
        let sought = Sought {
            view,
            opener,
            value: &value,
            constraints: &constraints,
        };
        let name = value.as_str().unwrap_or_default();
        match question.declared.as_str() {
            "blueprint_id" => sought.is_listed(ViewName::Blueprints, ("id", "id")).await,
            "deployment_id" => {
                let fields = ("id", "display_name");
                sought.is_listed(ViewName::Deployments, fields).await
            }
            "secret_key" => sought.is_listed(ViewName::Secrets, ("key", "key")).await,
            "capability_value" => sought.is_capability().await,
            "node_instance" => sought.has_row(ViewName::NodeInstances, "id", name).await,
            declared if constraints.deployment_id.is_none() => {
                Ok(sought.is_in_plan(declared, name, &self.plan))
            }
            "scaling_group" => sought.is_scaling_group(name).await,
            "operation_name" => sought.is_operation(name).await,
            "node_type" => sought.has_row(ViewName::Nodes, "type", name).await,
            _ => sought.has_row(ViewName::Nodes, "id", name).await,
        }
    }
}

/// The query in the form of a search's constraints.
fn constraints(declared: &str, query: &Map<String, Value>) -> Result<Constraints, Error> {
    let mut body = Map::new();
    for (key, value) in query {
        match (key.as_str(), declared) {
            ("operation_name_specs" | "capability_key_specs", _) => {
                body.insert(key.clone(), json!({"name_pattern": value}));
            }
            (
                "id_specs"
                | "display_name_specs"
                | "key_specs"
                | "type_specs"
                | "scaling_group_name_specs",
                _,
            ) => drop(body.insert("name_pattern".to_owned(), value.clone())),
            _ => drop(body.insert(key.clone(), value.clone())),
        }
    }
    Constraints::parse(&body)
}

/// What is looked for, and on whose behalf.
struct Sought<'s> {
    view: &'s View,
    opener: Opener<'s>,
    value: &'s Value,
    constraints: &'s Constraints,
}

impl Sought<'_> {
    /// Whether a list of resources has it under its name; patterns are about another field.
    async fn is_listed(&self, of: ViewName, (name, pattern): (&str, &str)) -> Result<bool, Error> {
        let Some(value) = self.value.as_str() else {
            return Ok(false);
        };
        let caller = self.opener.caller;
        let permission = match of {
            ViewName::Blueprints => Permission::BlueprintList,
            ViewName::Secrets => Permission::SecretList,
            _ => Permission::DeploymentList,
        };
        let mut rules = self.constraints.rules.clone();
        if let (Some(id), Some(kind)) = (&self.constraints.filter_id, filters::Kind::of(of)) {
            rules.extend(filters::rules(self.view, caller, kind, id).await?);
        }
        let mut query = ListQuery::all(of, caller.scope(false, permission)?);
        let named = Condition::AnyOf(name.to_owned(), vec![value.to_owned()]);
        query.conditions.push(named);
        query.conditions.extend(filters::conditions(of, &rules)?);
        query
            .conditions
            .extend(self.constraints.conditions(pattern, name));
        Ok(self.view.count(&query).await? > 0)
    }

    /// The deployment the query names.
    async fn deployment(&self) -> Result<Option<Deployment>, Error> {
        let Some(id) = &self.constraints.deployment_id else {
            return Ok(None);
        };
        let (view, _) = deployments::MODEL;
        let found = self.opener.caller.find(self.view, view, id).await?;
        Ok(found.map(|row| row.resource()).transpose()?)
    }

    async fn is_capability(&self) -> Result<bool, Error> {
        let Some(deployment) = self.deployment().await? else {
            return Ok(false);
        };
        let of = (self.view, self.opener);
        let capabilities = deployments::capabilities(of, &deployment).await?;
        let names = self.constraints.capabilities.as_ref();
        let listed = self.constraints.valid_values.as_ref();
        Ok(capabilities.iter().any(|(name, value)| {
            value == self.value
                && names.is_none_or(|names| names.admit(name))
                && listed.is_none_or(|listed| listed.contains(value))
        }))
    }

    /// Whether the deployment has a row with this value in a field.
    async fn has_row(&self, of: ViewName, field: &str, name: &str) -> Result<bool, Error> {
        let Some(deployment) = self.deployment().await? else {
            return Ok(false);
        };
        let named = Condition::AnyOf(field.to_owned(), vec![name.to_owned()]);
        let of = belonging(of, (&deployment.tenant_name, &deployment.id)).with(named);
        Ok(self.constraints.admit(name) && self.view.count(&of).await? > 0)
    }

    async fn is_scaling_group(&self, name: &str) -> Result<bool, Error> {
        let Some(deployment) = self.deployment().await? else {
            return Ok(false);
        };
        let groups = object(deployment.scaling_groups.as_ref())?;
        Ok(self.constraints.admit(name) && groups.contains_key(name))
    }

    async fn is_operation(&self, name: &str) -> Result<bool, Error> {
        let Some(deployment) = self.deployment().await? else {
            return Ok(false);
        };
        let of = (deployment.tenant_name.as_str(), deployment.id.as_str());
        let nodes: Vec<Node> = self.view.select_as(&belonging(ViewName::Nodes, of)).await?;
        for node in &nodes {
            if object(node.operations.as_ref())?.contains_key(name) {
                return Ok(self.admits_operation(name));
            }
        }
        Ok(false)
    }

    /// The same of the plan of a blueprint.
    fn is_in_plan(&self, declared: &str, name: &str, plan: &dsl::Plan) -> bool {
        let is =
            |node: &dsl::Value, key: &str| node.get(key).and_then(dsl::Value::as_str) == Some(name);
        let mut nodes = plan.nodes().iter();
        if declared == "operation_name" {
            let has = |node: &dsl::Value| {
                let operations = node.get("operations").and_then(dsl::Value::as_object);
                operations.is_some_and(|all| all.contains_key(name))
            };
            return self.admits_operation(name) && nodes.any(has);
        }
        self.constraints.admit(name)
            && match declared {
                "scaling_group" => plan
                    .object("scaling_groups")
                    .is_some_and(|all| all.contains_key(name)),
                "node_type" => nodes.any(|node| is(node, "type")),
                _ => nodes.any(|node| is(node, "id")),
            }
    }

    fn admits_operation(&self, name: &str) -> bool {
        let names = self.constraints.operations.as_ref();
        self.constraints.admit(name) && names.is_none_or(|names| names.admit(name))
    }
}
