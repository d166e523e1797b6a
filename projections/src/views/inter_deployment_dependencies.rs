//! What deployments depend on: other deployments that they contain, or whose resources or
//! capabilities they use. A deployment is labelled with those that use it.
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stratalog_schema::{
    Event,
    events::{
        InterDeploymentDependenciesCreated, InterDeploymentDependenciesDeleted,
        InterDeploymentDependenciesRetargeted, NewDependency, Scope,
    },
    time::wire,
};

use super::{Json, Label, deployments::Deployment, json, nodes::of_tenant, scope, scoped};
use crate::{
    Error,
    owned::owned_doc,
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

/// What a deployment is labelled with for each one that uses it.
pub const CONSUMER_LABEL: &str = "csys-consumer-id";
/// How the creators of dependencies on components begin. Who contains another one does not use it.
pub const COMPONENT: &str = "component.";
/// How the creators of dependencies on shared resources begin.
pub const SHARED_RESOURCE: &str = "sharedresource.";

const VIEW: View = View::InterDeploymentDependencies;
const SOURCE: &str = "source_deployment_id";
const TARGET: &str = "target_deployment_id";

pub(crate) static DEF: Def = Def {
    name: "inter_deployment_dependencies",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("id", Kind::Text),
        Column::plain("dependency_creator", Kind::Text),
        Column::linked(SOURCE),
        Column::linked(TARGET),
    ],
    fields: &{
        let [c0, c1, c2, c3, c4] = COMMON;
        [
            Field::col("created_at", Kind::Int, "created_at"),
            Field::col("id", Kind::Text, "id"),
            Field::col("dependency_creator", Kind::Text, "dependency_creator"),
            Field::doc("target_deployment_func", Kind::Json),
            Field::doc("external_source", Kind::Json),
            Field::doc("external_target", Kind::Json),
            Field::col(SOURCE, Kind::Text, SOURCE),
            Field::col(TARGET, Kind::Text, TARGET),
            c0,
            c1,
            c2,
            c3,
            c4,
        ]
    },
};

owned_doc! {
    /// A dependency of one deployment on another.
    pub struct InterDeploymentDependency {
        /// Its creation.
        pub created_at: String,
        /// Its id.
        pub id: String,
        /// What makes it: `component.<instance>`, `sharedresource.<instance>`, the place of a
        /// function, or anybody's word.
        pub dependency_creator: String,
        /// How the target is found out, `{function, context}`, where that takes a function.
        pub target_deployment_func: Option<Json>,
        /// The deployment of another manager that depends on the target.
        pub external_source: Option<Json>,
        /// The deployment of another manager that the source depends on.
        pub external_target: Option<Json>,
        /// The deployment that depends.
        pub source_deployment_id: Option<String>,
        /// The deployment it depends on, as far as it is known.
        pub target_deployment_id: Option<String>,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of a dependency is not served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Its creation; milliseconds since the epoch.
    pub created_at_ms: i64,
}

impl Resource for InterDeploymentDependency {
    const VIEW: View = VIEW;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.id)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.own.created_at_ms)),
            Col::from(self.id.as_str()),
            Col::from(self.dependency_creator.as_str()),
            Col::from(&self.source_deployment_id),
            Col::from(&self.target_deployment_id),
        ]
    }

    fn hidden(&self) -> Result<Option<String>, serde_json::Error> {
        serde_json::to_string(&self.own).map(Some)
    }

    fn restore_hidden(&mut self, hidden: &str) -> Result<(), serde_json::Error> {
        self.own = serde_json::from_str(hidden)?;
        Ok(())
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    match event {
        Event::InterDeploymentDependenciesCreated(e) => {
            let tenant = scope(e.scope.as_ref()).tenant;
            for new in &e.dependencies {
                needs.key(VIEW, scoped(&tenant, &new.id));
                target(needs, &tenant, new.target_deployment_id.as_ref());
            }
        }
        Event::InterDeploymentDependenciesRetargeted(e) => {
            siblings(needs, e.source_deployment_id.as_ref());
            target(needs, &e.tenant, e.source_deployment_id.as_ref());
            for one in &e.dependencies {
                needs.key(VIEW, scoped(&e.tenant, &one.id));
                target(needs, &e.tenant, one.former_target.as_ref());
                target(needs, &e.tenant, one.target_deployment_id.as_ref());
            }
        }
        Event::InterDeploymentDependenciesDeleted(e) => {
            siblings(needs, e.source_deployment_id.as_ref());
            target(needs, &e.tenant, e.source_deployment_id.as_ref());
            for one in &e.dependencies {
                needs.key(VIEW, scoped(&e.tenant, &one.id));
                target(needs, &e.tenant, one.target_deployment_id.as_ref());
            }
        }
        Event::DeploymentDeleted(e) => {
            needs.link(VIEW, SOURCE, &e.id);
            needs.link(VIEW, TARGET, &e.id);
        }
        _ => {}
    }
}

fn target(needs: &mut Needs, tenant: &str, id: Option<&String>) {
    if let Some(id) = id {
        needs.key(View::Deployments, scoped(tenant, id));
    }
}

/// Whether the source still uses a target is found out among its other dependencies.
pub(super) fn siblings(needs: &mut Needs, source: Option<&String>) {
    if let Some(source) = source {
        needs.link(VIEW, SOURCE, source);
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::InterDeploymentDependenciesCreated(e) => created(e, rows),
        Event::InterDeploymentDependenciesRetargeted(e) => retargeted(e, rows),
        Event::InterDeploymentDependenciesDeleted(e) => deleted(e, rows),
        Event::DeploymentDeleted(e) => {
            for key in of_tenant(rows.find(VIEW, SOURCE, &e.id), &e.tenant) {
                rows.remove(VIEW, &key);
            }
            for key in of_tenant(rows.find(VIEW, TARGET, &e.id), &e.tenant) {
                let mut dependency: InterDeploymentDependency = rows.expect(&key)?;
                dependency.target_deployment_id = None;
                rows.put(&dependency)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn created(e: &InterDeploymentDependenciesCreated, rows: &mut Rows) -> Result<(), Error> {
    let scope = scope(e.scope.as_ref());
    let mut used = BTreeSet::new();
    for new in &e.dependencies {
        rows.put(&dependency(e, &scope, new)?)?;
        if !new.dependency_creator.starts_with(COMPONENT) {
            used.extend(new.target_deployment_id.as_ref());
        }
    }
    for target in used {
        let consumer = (e.source_deployment_id.as_ref(), e.created_at_ms);
        consumed(rows, (&scope.tenant, target), consumer, &scope.created_by)?;
    }
    Ok(())
}

fn dependency(
    e: &InterDeploymentDependenciesCreated,
    scope: &Scope,
    new: &NewDependency,
) -> Result<InterDeploymentDependency, Error> {
    let document = |text: &Option<String>| text.as_deref().map_or(Ok(None), json);
    let mut dependency = InterDeploymentDependency {
        created_at: wire(e.created_at_ms),
        id: new.id.clone(),
        dependency_creator: new.dependency_creator.clone(),
        target_deployment_func: document(&new.target_deployment_func_json)?,
        external_source: document(&new.external_source_json)?,
        external_target: document(&new.external_target_json)?,
        source_deployment_id: e.source_deployment_id.clone(),
        target_deployment_id: new.target_deployment_id.clone(),
        own: Own {
            created_at_ms: e.created_at_ms,
        },
        visibility: String::new(),
        tenant_name: scope.tenant.clone(),
        created_by: scope.created_by.clone(),
        resource_availability: String::new(),
        private_resource: false,
    };
    dependency.set_visibility(&scope.visibility);
    Ok(dependency)
}

fn retargeted(e: &InterDeploymentDependenciesRetargeted, rows: &mut Rows) -> Result<(), Error> {
    let mut left = BTreeSet::new();
    for one in &e.dependencies {
        let found: Option<InterDeploymentDependency> = rows.get(&scoped(&e.tenant, &one.id))?;
        let Some(mut dependency) = found else {
            continue;
        };
        dependency
            .target_deployment_id
            .clone_from(&one.target_deployment_id);
        rows.put(&dependency)?;
        left.extend(one.former_target.as_ref());
        let is_used = !dependency.dependency_creator.starts_with(COMPONENT);
        if let Some(target) = one.target_deployment_id.as_ref().filter(|_| is_used) {
            let consumer = (e.source_deployment_id.as_ref(), e.at_ms);
            consumed(rows, (&e.tenant, target), consumer, &dependency.created_by)?;
        }
    }
    released(rows, (&e.tenant, e.source_deployment_id.as_ref()), left)
}

fn deleted(e: &InterDeploymentDependenciesDeleted, rows: &mut Rows) -> Result<(), Error> {
    let mut left = BTreeSet::new();
    for one in &e.dependencies {
        rows.remove(VIEW, &scoped(&e.tenant, &one.id));
        left.extend(one.target_deployment_id.as_ref());
    }
    released(rows, (&e.tenant, e.source_deployment_id.as_ref()), left)
}

/// The target carries the source's label.
fn consumed(
    rows: &mut Rows,
    target: (&str, &str),
    (source, at_ms): (Option<&String>, i64),
    created_by: &str,
) -> Result<(), Error> {
    let Some(source) = source else {
        return Ok(());
    };
    let like = Label {
        key: CONSUMER_LABEL.to_owned(),
        value: source.clone(),
        created_at: wire(at_ms),
        created_by: created_by.to_owned(),
    };
    attach(rows, target, (source, &like))
}

/// A deployment carries a consumer's label, made when and by whom another one was.
///
/// # Errors
/// Rows that cannot be read or written.
pub(super) fn attach(
    rows: &mut Rows,
    (tenant, target): (&str, &str),
    (consumer, like): (&str, &Label),
) -> Result<(), Error> {
    let found: Option<Deployment> = rows.get(&scoped(tenant, target))?;
    let Some(mut deployment) = found else {
        return Ok(());
    };
    if deployment.labels.iter().any(|label| names(label, consumer)) {
        return Ok(());
    }
    deployment.labels.push(Label {
        key: CONSUMER_LABEL.to_owned(),
        value: consumer.to_owned(),
        ..like.clone()
    });
    rows.put(&deployment)
}

/// Those of the targets that the source does not use any more lose its label.
fn released(
    rows: &mut Rows,
    (tenant, source): (&str, Option<&String>),
    targets: BTreeSet<&String>,
) -> Result<(), Error> {
    let Some(source) = source else {
        return Ok(());
    };
    for target in targets {
        detach(rows, (tenant, target), source)?;
    }
    Ok(())
}

/// A deployment loses the label of a consumer that neither uses it nor is below it.
///
/// # Errors
/// Rows that cannot be read or written.
pub(super) fn detach(
    rows: &mut Rows,
    (tenant, target): (&str, &str),
    consumer: &str,
) -> Result<(), Error> {
    let child: Option<Deployment> = rows.get(&scoped(tenant, consumer))?;
    if child.is_some_and(|child| {
        child
            .own
            .counted_in
            .iter()
            .any(|parent| parent.id == target)
    }) {
        return Ok(());
    }
    for key in of_tenant(rows.find(VIEW, SOURCE, consumer), tenant) {
        let other: InterDeploymentDependency = rows.expect(&key)?;
        let uses = !other.dependency_creator.starts_with(COMPONENT);
        if uses && other.target_deployment_id.as_deref() == Some(target) {
            return Ok(());
        }
    }
    let Some(mut deployment) = rows.get::<Deployment>(&scoped(tenant, target))? else {
        return Ok(());
    };
    let before = deployment.labels.len();
    deployment.labels.retain(|label| !names(label, consumer));
    if deployment.labels.len() < before {
        rows.put(&deployment)?;
    }
    Ok(())
}

fn names(label: &Label, consumer: &str) -> bool {
    label.key == CONSUMER_LABEL && label.value == consumer
}
