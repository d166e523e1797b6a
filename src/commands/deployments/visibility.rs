//! Who may see a deployment, its nodes and their instances.
use stratalog_projections::views::{blueprints::Blueprint, deployments::Deployment};
use stratalog_schema::{Event, events::DeploymentChanged};

use super::{MODEL, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{blueprints, visibility},
    context::Context,
    error::{Error, ErrorCode},
    store::Decision,
};

/// Widens the visibility of a deployment, not beyond its blueprint's.
///
/// # Errors
/// 400, 403, 404; 409 when another tenant has a deployment of that id.
pub async fn set_visibility(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    wanted: &str,
) -> Result<(), Error> {
    caller.require(Permission::DeploymentSetVisibility)?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let row = caller.get(view, MODEL, id).await?;
            let deployment: Deployment = row.resource()?;
            let tenant = deployment.tenant_name.as_str();
            visibility::require_own(caller, id, tenant)?;
            let is_change = visibility::change(caller, (id, &deployment.visibility), wanted)?;
            let found = caller
                .find(view, blueprints::MODEL.0, &deployment.blueprint_id)
                .await?;
            if let Some(row) = found {
                require_within(&row.resource()?, (id, wanted))?;
            }
            if is_change {
                let rows = blueprints::namesakes(view, MODEL.0, (tenant, id), wanted).await?;
                if rows.len() > 1 {
                    return Err(Error::refused(
                        ErrorCode::Conflict,
                        format!("There are deployments with id={id} in other tenants"),
                    ));
                }
            }
            let mut decision = Decision::nothing();
            decision.rests_on(view, stream(tenant, id)).await?;
            decision.event(
                stream(tenant, id),
                Event::DeploymentChanged(DeploymentChanged {
                    id: id.to_owned(),
                    tenant: tenant.to_owned(),
                    updated_at_ms: clock::now_ms(),
                    visibility: is_change.then(|| wanted.to_owned()),
                    ..DeploymentChanged::default()
                }),
            );
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// A deployment cannot be seen by more people than its blueprint.
///
/// # Errors
/// 400.
pub(super) fn require_within(
    blueprint: &Blueprint,
    (id, wanted): (&str, &str),
) -> Result<(), Error> {
    if !visibility::is_wider(wanted, &blueprint.visibility) {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::IllegalAction,
        format!(
            "The visibility of deployment `{id}` can't be wider than the visibility of its \
             blueprint `{}`. Current blueprint visibility is {}",
            blueprint.id, blueprint.visibility
        ),
    ))
}
