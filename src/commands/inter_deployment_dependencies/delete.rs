//! Taking a dependency back.
use serde::Deserialize;
use serde_json::Value;
use stratalog_projections::views::inter_deployment_dependencies::InterDeploymentDependency;

use super::{
    MODEL, NewDependency,
    change::{no_target, sees},
    deployment, of_source, stream, taken_away,
};
use crate::{
    auth::{Caller, Permission},
    context::Context,
    error::{Error, ErrorCode},
    store::Decision,
};

/// Which dependency is to go.
#[derive(Debug, Default, Deserialize)]
pub struct DeleteDependency {
    /// The deployment that depends.
    pub source_deployment: String,
    /// What makes it, and what it depends on.
    #[serde(flatten)]
    pub old: NewDependency,
    /// Whether the target may be gone already.
    #[serde(default)]
    pub is_component_deletion: Option<bool>,
}

/// Forgets a dependency.
///
/// # Errors
/// 403; 404 when there is none of that kind.
pub async fn delete(ctx: &Context, caller: &Caller, old: &DeleteDependency) -> Result<(), Error> {
    caller.require(Permission::InterDeploymentDependencyDelete)?;
    let tenant = caller.tenant()?;
    let is_external = old.old.external_source.is_some();
    let source = Some(old.source_deployment.as_str()).filter(|_| !is_external);
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            if let Some(id) = source
                && !sees(view, caller, id).await?
            {
                return Err(Error::refused(
                    ErrorCode::NotFound,
                    format!("Given source deployment with ID `{id}` does not exist."),
                ));
            }
            let wanted = old.old.target_deployment.as_deref();
            let is_there = match wanted {
                Some(id) => deployment(view, tenant, id).await?.is_some(),
                None => false,
            };
            let may_be_gone = old.is_component_deletion == Some(true)
                || is_external
                || old.old.external_target.is_some();
            if !is_there && !may_be_gone {
                return Err(no_target(wanted));
            }
            let target = wanted.filter(|_| is_there);
            let mut decision = Decision::nothing();
            decision.rests_on(view, stream(tenant, source)).await?;
            let found = of_source(view, tenant, source).await?;
            let found = found
                .into_iter()
                .filter(|one| caller.may_see(&one.owned_by()))
                .find(|one| is_meant(one, &old.old, target));
            let Some(found) = found else {
                return Err(Error::not_found(MODEL.1, &old.old.dependency_creator));
            };
            taken_away(&mut decision, (tenant, source), vec![found]);
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

fn is_meant(one: &InterDeploymentDependency, old: &NewDependency, target: Option<&str>) -> bool {
    let external = |json: &str| serde_json::from_str::<Value>(json).ok();
    one.dependency_creator == old.dependency_creator
        && (target.is_none() || one.target_deployment_id.as_deref() == target)
        && (old.external_source.is_none()
            || one
                .external_source
                .as_ref()
                .and_then(|json| external(json.get()))
                == old.external_source.clone().map(Value::Object))
}
