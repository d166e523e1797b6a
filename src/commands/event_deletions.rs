//! Execution logs and events that are done with: they are not shown any more. The log keeps them,
//! and as of an earlier moment they are there.
use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName,
    views::{event_deletions::EventDeletion, scoped},
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{EventsDeleted, QueryTerm},
};
use uuid::Uuid;

use crate::{
    auth::{Caller, Permission},
    clock,
    context::Context,
    error::Error,
    store::{Decision, View},
};

/// Hides what a list with these terms shows of a deployment of the caller's tenant; gives the
/// position from which on it is hidden.
///
/// # Errors
/// 403; database errors.
pub async fn delete(
    ctx: &Context,
    caller: &Caller,
    deployment: &str,
    terms: &[(String, String)],
) -> Result<i64, Error> {
    caller.require(Permission::EventDelete)?;
    let tenant = caller.tenant()?;
    let terms = terms.iter().map(|(name, value)| QueryTerm {
        name: name.clone(),
        value: value.clone(),
    });
    let event = EventsDeleted {
        id: Uuid::now_v7().to_string(),
        tenant: tenant.to_owned(),
        deployment_id: deployment.to_owned(),
        terms: terms.collect(),
        deleted_at_ms: clock::now_ms(),
    };
    let stream = StreamId::scoped(Category::EventDeletion, tenant, deployment);
    let (appended, ()) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let key = scoped(tenant, deployment);
            // events outlive their deployment; those of one that is not seen are not to be hidden
            if let Some(row) = view.row(ViewName::Deployments, &key).await?
                && !caller.may_see(&row.owner)
            {
                return Err(Error::not_found("Deployment", deployment));
            }
            let mut decision = Decision::nothing();
            decision.event(stream.clone(), Event::EventsDeleted(event.clone()));
            Ok((decision, ()))
        })
        .await?;
    Ok(appended.last_position)
}

/// What was deleted of some deployments (of all, if none are named), with the position of each
/// deletion.
///
/// # Errors
/// Database errors.
pub async fn of(
    view: &View,
    deployments: Option<&[String]>,
) -> Result<Vec<(i64, EventDeletion)>, Error> {
    let mut query = ListQuery::all(ViewName::EventDeletions, Scope::Everything);
    if let Some(deployments) = deployments {
        let deployments = deployments.to_vec();
        query = query.with(Condition::AnyOf("deployment_id".to_owned(), deployments));
    }
    let rows = view.select(&query).await?;
    let deletions = rows.iter().map(|row| Ok((row.born, row.resource()?)));
    deletions.collect()
}
