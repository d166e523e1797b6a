//! What deployments know of those below them: numbers of services and environments, the worst of
//! their statuses, and who they are. A deployment is below another when its label `csys-obj-parent`
//! names it.
//!
//! Every parent keeps sums over its children; a child adds what it is itself and the sums of its
//! own. So a change goes up as a difference, however many siblings there are.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Label, deployments::Deployment, inter_deployment_dependencies as dependencies, scoped,
};
use crate::{
    Error,
    rows::{Needs, Rows},
    view::{Col, View},
};

/// Names the deployment that this one is below.
pub const PARENT_LABEL: &str = "csys-obj-parent";
/// What kind of deployment it is.
const TYPE_LABEL: &str = "csys-obj-type";
/// The kind that holds others; all else are services.
const ENVIRONMENT: &str = "environment";
/// From the worst to the best.
const STATUSES: [&str; 3] = ["requires_attention", "in_progress", "good"];

/// How many have which status, the worst first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Statuses([i64; 3]);

impl Statuses {
    fn of(status: &str) -> Self {
        let mut one = Self::default();
        let known = STATUSES.iter().position(|known| *known == status);
        // whoever restores a deployment says how it is; what is unknown wants attention
        one.0[known.unwrap_or(0)] = 1;
        one
    }

    fn add(&mut self, other: &Self, sign: i64) {
        for (sum, part) in self.0.iter_mut().zip(other.0) {
            *sum += sign * part;
        }
    }

    fn worst(&self) -> Option<&'static str> {
        let at = self.0.iter().position(|number| *number > 0)?;
        Some(STATUSES[at])
    }

    fn number(&self) -> i64 {
        self.0.iter().sum()
    }
}

/// Sums over what is below a deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Below {
    /// Services on all levels.
    services: i64,
    /// Environments on all levels.
    environments: i64,
    /// Statuses of services, as far as each child sums them up.
    service_statuses: Statuses,
    /// Statuses of environments, likewise.
    environment_statuses: Statuses,
    /// Statuses of the services among the children.
    child_services: Statuses,
    /// Statuses of the environments among the children.
    child_environments: Statuses,
}

/// Numbers and statuses as clients see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Services below.
    pub services: i64,
    /// Environments below.
    pub environments: i64,
    /// Worst status of the services.
    pub services_status: Option<&'static str>,
    /// Worst status of the environments.
    pub environments_status: Option<&'static str>,
}

impl Below {
    /// Whether there is nothing.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What a child adds to its parent.
    fn of(child: &Deployment) -> Self {
        let below = child.own.below;
        let mut sum = Self {
            services: below.services,
            environments: below.environments,
            ..Self::default()
        };
        for (statuses, summed) in [
            (&mut sum.service_statuses, below.service_statuses),
            (&mut sum.environment_statuses, below.environment_statuses),
        ] {
            if let Some(worst) = summed.worst() {
                statuses.add(&Statuses::of(worst), 1);
            }
        }
        let own = Statuses::of(&child.deployment_status);
        let is_environment = |label: &Label| label.key == TYPE_LABEL && label.value == ENVIRONMENT;
        if child.labels.iter().any(is_environment) {
            sum.environments += 1;
            sum.environment_statuses.add(&own, 1);
            sum.child_environments = own;
        } else {
            sum.services += 1;
            sum.service_statuses.add(&own, 1);
            sum.child_services = own;
        }
        sum
    }

    fn add(&mut self, other: &Self, sign: i64) {
        self.services += sign * other.services;
        self.environments += sign * other.environments;
        for (sum, part) in [
            (&mut self.service_statuses, other.service_statuses),
            (&mut self.environment_statuses, other.environment_statuses),
            (&mut self.child_services, other.child_services),
            (&mut self.child_environments, other.child_environments),
        ] {
            sum.add(&part, sign);
        }
    }

    /// All levels, as deployments show them.
    pub fn all(&self) -> Summary {
        Summary {
            services: self.services,
            environments: self.environments,
            services_status: self.service_statuses.worst(),
            environments_status: self.environment_statuses.worst(),
        }
    }

    /// Children only.
    pub fn children(&self) -> Summary {
        Summary {
            services: self.child_services.number(),
            environments: self.child_environments.number(),
            services_status: self.child_services.worst(),
            environments_status: self.child_environments.worst(),
        }
    }
}

/// A parent that counts a deployment. One that was deleted and created again does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Parent {
    /// Its id.
    pub id: String,
    /// Position at which it began.
    born: i64,
}

/// The worse of an own status and those below.
pub(super) fn worst(own: &str, summary: &Summary) -> String {
    let mut all = Statuses::of(own);
    let below = [summary.services_status, summary.environments_status];
    for status in below.into_iter().flatten() {
        all.add(&Statuses::of(status), 1);
    }
    all.worst().unwrap_or(own).to_owned()
}

fn parents(labels: &[Label]) -> impl Iterator<Item = &Label> {
    labels.iter().filter(|label| label.key == PARENT_LABEL)
}

/// Rows above those in the working set that are not in it yet.
pub(crate) fn above(rows: &Rows) -> Needs {
    let mut needs = Needs::default();
    let prefix = format!("{PARENT_LABEL}=");
    for row in rows.all(View::Deployments) {
        let Some(Col::Texts(labels)) = row.columns.last() else {
            continue;
        };
        let tenant = row.owner.tenant.as_deref().unwrap_or_default();
        let named = labels
            .iter()
            .filter_map(|label| label.strip_prefix(&prefix));
        for key in named.map(|parent| scoped(tenant, parent)) {
            if !rows.holds(View::Deployments, &key) {
                needs.key(View::Deployments, key);
            }
        }
    }
    needs
}

/// A deployment is put in place of what it was before, and everything above it follows.
///
/// # Errors
/// Rows that cannot be read or written.
pub(super) fn put(
    rows: &mut Rows,
    before: Option<&Deployment>,
    mut after: Deployment,
) -> Result<(), Error> {
    after.own.counted_in.clear();
    for label in parents(&after.labels) {
        let key = scoped(&after.tenant_name, &label.value);
        let found = rows.row(View::Deployments, &key);
        // no deployment is its own parent; commands refuse that
        if let Some(found) = found.filter(|_| label.value != after.id) {
            after.own.counted_in.push(Parent {
                id: label.value.clone(),
                born: found.born,
            });
        }
    }
    after.own.counted_in.sort_unstable();
    after.own.counted_in.dedup();
    rows.put(&after)?;
    consumers(rows, before, Some(&after))?;
    let mut path = vec![after.id.clone()];
    rise(rows, (before, Some(&after)), &mut path)
}

/// A deployment has gone; everything above it follows.
///
/// # Errors
/// Rows that cannot be read or written.
pub(super) fn removed(rows: &mut Rows, before: &Deployment) -> Result<(), Error> {
    consumers(rows, Some(before), None)?;
    let mut path = vec![before.id.clone()];
    rise(rows, (Some(before), None), &mut path)
}

/// The difference goes to the parents, and from there on.
fn rise(
    rows: &mut Rows,
    (before, after): (Option<&Deployment>, Option<&Deployment>),
    path: &mut Vec<String>,
) -> Result<(), Error> {
    let Some(tenant) = before.or(after).map(|one| one.tenant_name.clone()) else {
        return Ok(());
    };
    let mut differences: BTreeMap<Parent, Below> = BTreeMap::new();
    for (side, sign) in [(before, -1), (after, 1)] {
        let Some(side) = side else { continue };
        let part = Below::of(side);
        for parent in &side.own.counted_in {
            differences
                .entry(parent.clone())
                .or_default()
                .add(&part, sign);
        }
    }
    for (parent, difference) in differences {
        let key = scoped(&tenant, &parent.id);
        let is_same = rows
            .row(View::Deployments, &key)
            .is_some_and(|row| row.born == parent.born);
        // circles are refused when labels change; this only keeps one from going on for ever
        if !is_same || difference.is_nothing() || path.contains(&parent.id) {
            continue;
        }
        let was: Deployment = rows.expect(&key)?;
        let mut is = was.clone();
        is.own.below.add(&difference, 1);
        is.sum_up();
        rows.put(&is)?;
        path.push(parent.id);
        rise(rows, (Some(&was), Some(&is)), path)?;
        path.pop();
    }
    Ok(())
}

/// Parents carry a label with the name of each child.
fn consumers(
    rows: &mut Rows,
    before: Option<&Deployment>,
    after: Option<&Deployment>,
) -> Result<(), Error> {
    let counts = |side: Option<&Deployment>, parent: &Parent| {
        side.is_some_and(|side| side.own.counted_in.contains(parent))
    };
    if let Some(after) = after {
        let new = after.own.counted_in.iter();
        for parent in new.filter(|parent| !counts(before, parent)) {
            let label = parents(&after.labels).find(|label| label.value == parent.id);
            if let Some(label) = label {
                let of = (after.tenant_name.as_str(), parent.id.as_str());
                dependencies::attach(rows, of, (&after.id, label))?;
            }
        }
    }
    if let Some(before) = before {
        let old = before.own.counted_in.iter();
        for parent in old.filter(|parent| !counts(after, parent)) {
            let of = (before.tenant_name.as_str(), parent.id.as_str());
            dependencies::detach(rows, of, &before.id)?;
        }
    }
    Ok(())
}
