//! Deleting a blueprint: what stands against it, in the order clients know.
use serde_json::Value;
use stratalog_projections::{Condition, ListQuery, Scope, View, views::blueprints::Blueprint};
use stratalog_schema::{Event, events::BlueprintDeleted};

use super::{MODEL, is_failed, remove_tree, stream, tree, uploaded_tree};
use crate::{
    auth::{Caller, Permission},
    commands::visibility::require_own,
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View as Reader},
};

/// Deletes a blueprint with its files.
///
/// # Errors
/// 403, 404; 400 while it is being uploaded or has deployments; 405 while another blueprint imports
/// it.
pub async fn delete(ctx: &Context, caller: &Caller, id: &str, force: bool) -> Result<(), Error> {
    caller.require(Permission::BlueprintDelete)?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let blueprint: Blueprint = caller.get(view, MODEL, id).await?.resource()?;
            require_own(caller, id, &blueprint.tenant_name)?;
            if !is_failed(&blueprint.state) {
                check(view, &blueprint, force).await?;
            }
            let tenant = &blueprint.tenant_name;
            let mut decision = Decision::nothing();
            decision.rests_on(view, stream(tenant, id)).await?;
            deleted(&mut decision, tenant, id);
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// Adds the deletion of a blueprint and its files.
pub(crate) fn deleted(decision: &mut Decision, tenant: &str, id: &str) {
    decision.event(
        stream(tenant, id),
        Event::BlueprintDeleted(BlueprintDeleted {
            id: id.to_owned(),
            tenant: tenant.to_owned(),
        }),
    );
    remove_tree(decision, &tree(tenant, id));
    remove_tree(decision, &uploaded_tree(tenant, id));
}

async fn check(view: &Reader, blueprint: &Blueprint, force: bool) -> Result<(), Error> {
    let Blueprint { id, state, .. } = blueprint;
    if state != "uploaded" && !force {
        return Err(Error::refused(
            ErrorCode::InvalidBlueprint,
            format!("Blueprint `{id}` is still {state}."),
        ));
    }
    if !force {
        check_imports(view, blueprint).await?;
    }
    let deployments = ListQuery::all(View::Deployments, Scope::Everything).with(Condition::AnyOf(
        "blueprint_id".to_owned(),
        vec![id.clone()],
    ));
    let mut users = view.pick(&deployments, &["id", "tenant_name"]).await?;
    if blueprint.visibility != "global" {
        let own = Some(blueprint.tenant_name.clone());
        users.retain(|(_, values)| values.get(1) == Some(&own));
    }
    if users.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = users
        .into_iter()
        .filter_map(|(_, mut values)| values.swap_remove(0))
        .collect();
    Err(Error::refused(
        ErrorCode::DependentExists,
        format!(
            "Can't delete blueprint {id} - There exist deployments for this blueprint; \
             Deployments ids: {}",
            names.join(",")
        ),
    ))
}

async fn check_imports(view: &Reader, blueprint: &Blueprint) -> Result<(), Error> {
    let query = ListQuery::all(View::Blueprints, Scope::Everything);
    let mut users = Vec::new();
    for other in view.select_as::<Blueprint>(&query).await? {
        let may_import =
            other.tenant_name == blueprint.tenant_name || blueprint.visibility == "global";
        if may_import && imports(&other, &blueprint.id)? {
            users.push(other.id);
        }
    }
    if users.is_empty() {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::BlueprintInUse,
        format!(
            "Blueprint {} is currently in use in blueprints: {}. You can \"force\" blueprint \
             removal.",
            blueprint.id,
            users.join(", ")
        ),
    ))
}

#[derive(serde::Deserialize)]
struct Imports {
    #[serde(default)]
    imported_blueprints: Vec<Value>,
}

fn imports(blueprint: &Blueprint, id: &str) -> Result<bool, Error> {
    let Some(plan) = &blueprint.plan else {
        return Ok(false);
    };
    let plan: Imports = serde_json::from_str(plan.get()).map_err(Error::internal)?;
    Ok(plan.imported_blueprints.iter().any(|import| import == id))
}
