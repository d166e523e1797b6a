//! Who may see a blueprint.
use stratalog_projections::views::blueprints::Blueprint;
use stratalog_schema::{Event, events::BlueprintChanged};

use super::{MODEL, namesakes, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::visibility,
    context::Context,
    error::{Error, ErrorCode},
    store::Decision,
};

/// Widens the visibility of a blueprint.
///
/// # Errors
/// 400, 403, 404; 409 when another tenant has a blueprint of that id.
pub async fn set_visibility(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    wanted: &str,
) -> Result<(), Error> {
    caller.require(Permission::ResourceSetVisibility)?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let row = caller.get(view, MODEL, id).await?;
            let blueprint: Blueprint = row.resource()?;
            let tenant = blueprint.tenant_name.as_str();
            visibility::require_own(caller, id, tenant)?;
            let mut decision = Decision::nothing();
            if !visibility::change(caller, (id, &blueprint.visibility), wanted)? {
                return Ok((decision, ()));
            }
            let others = namesakes(view, MODEL.0, (tenant, id), wanted).await?;
            if others.len() > 1 {
                return Err(Error::refused(
                    ErrorCode::Conflict,
                    format!("There are blueprints with id={id} in other tenants"),
                ));
            }
            decision.rests_on(view, stream(tenant, id)).await?;
            decision.event(
                stream(tenant, id),
                Event::BlueprintChanged(BlueprintChanged {
                    id: id.to_owned(),
                    tenant: tenant.to_owned(),
                    updated_at_ms: clock::now_ms(),
                    visibility: Some(wanted.to_owned()),
                    ..BlueprintChanged::default()
                }),
            );
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}
