//! Labels of a group are those of its deployments, too.
use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName, views::deployments::Deployment,
};
use stratalog_schema::{
    Event,
    events::{DeploymentChanged, Labels},
};

use super::change::{Changing, key_of};
use crate::{
    auth::Caller,
    clock,
    commands::{
        deployments,
        labels::{self, Wanted},
    },
    error::Error,
    store::View,
};

/// Members lose some labels and get those they lack.
pub(super) async fn change_members(
    view: &View,
    caller: &Caller,
    changing: &mut Changing,
    lost: &[Wanted],
) -> Result<(), Error> {
    let members: Vec<String> = changing.before.iter().cloned().collect();
    change(view, caller, changing, (&members, lost)).await
}

/// Whoever joins gets the labels of the group.
pub(super) async fn join(
    view: &View,
    caller: &Caller,
    changing: &mut Changing,
    joined: &[String],
) -> Result<(), Error> {
    change(view, caller, changing, (joined, &[])).await
}

async fn change(
    view: &View,
    caller: &Caller,
    changing: &mut Changing,
    (ids, lost): (&[String], &[Wanted]),
) -> Result<(), Error> {
    if ids.is_empty() || (changing.labels.is_empty() && lost.is_empty()) {
        return Ok(());
    }
    let keys = ids.iter().map(|id| key_of(&changing.group, id)).collect();
    let query =
        ListQuery::all(ViewName::Deployments, Scope::Everything).with(Condition::Keys(keys));
    let deployments: Vec<Deployment> = view.select_as(&query).await?;
    for deployment in deployments {
        let before = labels::kept(&deployment.labels);
        let mut wanted = before.clone();
        wanted.retain(|label| !lost.iter().any(|other| labels::is_same(label, other)));
        labels::add(&mut wanted, changing.labels.iter().cloned());
        if wanted == before {
            continue;
        }
        let decision = &mut changing.decision;
        deployments::require_parents(view, decision, &deployment, &wanted).await?;
        let by = (clock::now_ms(), caller.username.as_str());
        let event = DeploymentChanged {
            id: deployment.id.clone(),
            tenant: deployment.tenant_name.clone(),
            updated_at_ms: deployment.own.updated_at_ms,
            labels: Some(Labels {
                labels: labels::replaced(&deployment.labels, &wanted, by),
            }),
            ..DeploymentChanged::default()
        };
        let of = deployments::stream(&deployment.tenant_name, &deployment.id);
        changing.decision.rests_on_once(view, of.clone()).await?;
        changing.decision.event(of, Event::DeploymentChanged(event));
    }
    Ok(())
}
