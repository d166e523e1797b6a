//! Which deployment is at which site.
use std::sync::Arc;

use stratalog_projections::views::{deployments::Deployment, sites::Site};
use stratalog_schema::{Event, StreamId, events::DeploymentChanged};

use super::{MODEL, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{deployments, ids, visibility},
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// The site a deployment is to be at; it must be seen by everybody who sees the deployment. Gives
/// its stream: the decision rests on it, so that nothing is put where a site is being deleted.
///
/// # Errors
/// 400 for a name that is none or a site that fewer people see, 404.
pub(crate) async fn check(
    view: &View,
    caller: &Caller,
    name: &str,
    (deployment, shown): (&str, &str),
) -> Result<StreamId, Error> {
    ids::check("site_name", name)?;
    let site: Site = caller.get(view, MODEL, name).await?.resource()?;
    if !visibility::is_wider(shown, &site.visibility) {
        return Ok(stream(&site.tenant_name, name));
    }
    Err(Error::refused(
        ErrorCode::IllegalAction,
        format!(
            "The visibility of deployment `{deployment}`: `{shown}` can't be wider than the \
             visibility of its site `{name}`: `{}`",
            site.visibility
        ),
    ))
}

/// Puts a deployment at a site, or takes it away from where it is.
///
/// # Errors
/// 400 for both or neither, or a site that fewer people see; 403, 404.
pub async fn set_site(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    (site, detach): (Option<&str>, bool),
) -> Result<(), Error> {
    caller.require(Permission::DeploymentSetSite)?;
    if site.is_some() == detach {
        return Err(Error::bad_parameters(
            "Must provide either a `site_name` of a valid site or `detach_site` with true value \
             for detaching the current site of the given deployment",
        ));
    }
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let row = visibility::own(caller, view, deployments::MODEL, id).await?;
        let deployment: Deployment = row.resource()?;
        let mut decision = Decision::nothing();
        if let Some(site) = site {
            let place = check(view, caller, site, (id, &deployment.visibility)).await?;
            decision.rests_on(view, place).await?;
        }
        let of = deployments::stream(&deployment.tenant_name, id);
        decision.rests_on(view, of.clone()).await?;
        decision.event(
            of,
            Event::DeploymentChanged(DeploymentChanged {
                id: id.to_owned(),
                tenant: deployment.tenant_name,
                updated_at_ms: clock::now_ms(),
                site_name: Some(site.unwrap_or_default().to_owned()),
                ..DeploymentChanged::default()
            }),
        );
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}
