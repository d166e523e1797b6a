//! Groups that blueprints put their deployments into (`default_groups`).
use stratalog_projections::views::deployment_groups::DeploymentGroup;

use super::{
    MODEL,
    change::{self, Changing, PutGroup},
    extended,
};
use crate::{
    auth::{Caller, Permission},
    commands::labels::Wanted,
    error::Error,
    store::{Decision, View},
};

/// The groups a new deployment is to be in: those there are, and those yet to be made.
#[derive(Debug)]
pub(crate) struct Defaults(Vec<Changing>);

impl Defaults {
    /// Finds the groups by their ids.
    ///
    /// # Errors
    /// 400 for what cannot be an id, 403; database errors.
    pub(crate) async fn find(view: &View, caller: &Caller, ids: &[String]) -> Result<Self, Error> {
        let mut found: Vec<Changing> = Vec::new();
        let none = PutGroup::default();
        for id in ids {
            if found.iter().any(|known| known.group.id == *id) {
                continue;
            }
            found.push(match caller.find(view, MODEL.0, id).await? {
                Some(row) => {
                    caller.require(Permission::DeploymentGroupUpdate)?;
                    let group: DeploymentGroup = row.resource()?;
                    change::changing(view, caller, group).await?
                }
                None => {
                    caller.require(Permission::DeploymentGroupCreate)?;
                    change::check(caller, id, &none)?;
                    change::new(view, caller, id, (&none, None)).await?
                }
            });
        }
        Ok(Self(found))
    }

    /// The labels that their deployments have, too.
    pub(crate) fn labels(&self) -> impl Iterator<Item = Wanted> + '_ {
        self.0.iter().flat_map(|known| known.labels.iter().cloned())
    }

    /// A deployment, which has their labels, joins them.
    pub(crate) fn join(self, deployment_id: &str) -> Decision {
        let mut decision = Decision::nothing();
        for mut known in self.0 {
            if !known.before.contains(deployment_id) {
                let of = (known.group.tenant_name.as_str(), known.group.id.as_str());
                let joined = extended(of, vec![deployment_id.to_owned()]);
                known.decision.events.push(joined);
            }
            decision.extend(known.decision);
        }
        decision
    }
}
