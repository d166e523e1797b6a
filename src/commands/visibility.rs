//! Who may see a resource: the three steps, and who may take the last one; who may change what
//! others see.
use serde::Deserialize;
use stratalog_projections::{
    Connection, Reader, StoredRow, View,
    views::{executions::Execution, scoped},
};

use crate::{
    auth::{Caller, ExecutionRef, Method, Permission},
    error::{Error, ErrorCode},
};

/// From narrow to wide.
const STEPS: [&str; 3] = ["private", "tenant", "global"];

fn width(visibility: &str) -> Option<usize> {
    STEPS.iter().position(|step| *step == visibility)
}

/// The visibility of something new.
///
/// # Errors
/// 400 for an unknown word or both spellings at once, 403 for `global` without the permission.
pub(crate) fn of_new(
    caller: &Caller,
    visibility: Option<&str>,
    private_resource: Option<bool>,
) -> Result<String, Error> {
    if visibility.is_some() && private_resource.is_some() {
        return Err(Error::bad_parameters(
            "The `private_resource` and `visibility` parameters cannot be used together",
        ));
    }
    let visibility = match (visibility, private_resource) {
        (Some(visibility), _) => visibility,
        (None, Some(true)) => "private",
        _ => "tenant",
    };
    if width(visibility).is_none() {
        return Err(unknown(&STEPS));
    }
    require_global(caller, visibility)?;
    Ok(visibility.to_owned())
}

/// Whether the change to `wanted` is one; the same again is none.
///
/// # Errors
/// 400 for an unknown word or a narrower one, 403 for `global` without the permission.
pub(crate) fn change(
    caller: &Caller,
    (id, current): (&str, &str),
    wanted: &str,
) -> Result<bool, Error> {
    if !STEPS[1..].contains(&wanted) {
        return Err(unknown(&STEPS[1..]));
    }
    require_global(caller, wanted)?;
    if width(wanted) < width(current) {
        return Err(Error::refused(
            ErrorCode::IllegalAction,
            format!(
                "Can't set the visibility of `{id}` to {wanted} because it already has wider \
                 visibility"
            ),
        ));
    }
    Ok(wanted != current)
}

/// Whether `inner` can be seen by somebody who cannot see `outer`.
pub(crate) fn is_wider(inner: &str, outer: &str) -> bool {
    width(inner) > width(outer)
}

fn unknown(steps: &[&str]) -> Error {
    Error::bad_parameters(format!(
        "Invalid visibility. Allowed visibilities are: {}",
        steps.join(", ")
    ))
}

fn require_global(caller: &Caller, visibility: &str) -> Result<(), Error> {
    if visibility != "global" || caller.may(Permission::CreateGlobalResource) {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::Forbidden,
        format!(
            "User `{}` is not permitted to set or create a global resource",
            caller.username
        ),
    ))
}

/// Refuses to change a global resource of another tenant.
///
/// # Errors
/// 400.
pub(crate) fn require_own(caller: &Caller, id: &str, tenant: &str) -> Result<(), Error> {
    if caller.tenant()? == tenant {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::IllegalAction,
        format!("Can't modify the global resource `{id}` from outside its tenant `{tenant}`"),
    ))
}

/// Refuses to change a row of another tenant; an execution may change what the deployment that it
/// runs in consists of, wherever that is, and nothing else there.
///
/// # Errors
/// 400; 403 without a tenant; database errors.
pub(crate) async fn require_own_or_run<C: Connection>(
    caller: &Caller,
    reader: &Reader<C>,
    (view, id, row): (View, &str, &StoredRow),
) -> Result<(), Error> {
    let tenant = row.owner.tenant.as_deref().unwrap_or_default();
    if caller.method == Method::System || caller.tenant()? == tenant {
        return Ok(());
    }
    let runs_there = match &caller.execution {
        Some(execution) => runs_in(reader, execution, (view, row)).await?,
        None => false,
    };
    match runs_there {
        true => Ok(()),
        false => require_own(caller, id, tenant),
    }
}

/// What of a row's document says to which deployment it belongs.
#[derive(Deserialize)]
struct Part {
    id: Option<String>,
    deployment_id: Option<String>,
}

/// Whether a row is the deployment that an execution runs in, or belongs to it.
async fn runs_in<C: Connection>(
    reader: &Reader<C>,
    execution: &ExecutionRef,
    (view, row): (View, &StoredRow),
) -> Result<bool, Error> {
    let key = scoped(&execution.tenant, &execution.id);
    let running: Option<Execution> = reader.get(&key).await?;
    let Some(id) = running.and_then(|running| running.deployment_id) else {
        return Ok(false);
    };
    let deployment = reader.in_tenant(View::Deployments, &execution.tenant, &id);
    let is_there = deployment
        .await?
        .is_some_and(|deployment| deployment.owner.tenant == row.owner.tenant);
    let part: Part = serde_json::from_str(&row.doc).map_err(Error::internal)?;
    let of = match view {
        View::Deployments => part.id,
        _ => part.deployment_id,
    };
    Ok(is_there && of == Some(id))
}

/// The row of that id, to be changed: as the caller sees it, and of the tenant asked for.
///
/// # Errors
/// 404; 400 for a global resource of another tenant; 403 without a tenant; database errors.
pub(crate) async fn own<C: Connection>(
    caller: &Caller,
    reader: &Reader<C>,
    model: (View, &str),
    id: &str,
) -> Result<StoredRow, Error> {
    let row = caller.get(reader, model, id).await?;
    require_own_or_run(caller, reader, (model.0, id, &row)).await?;
    Ok(row)
}
