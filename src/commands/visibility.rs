//! Who may see a resource: the three steps, and who may take the last one; who may change what
//! others see.
use stratalog_projections::{Connection, Reader, StoredRow, View};

use crate::{
    auth::{Caller, Method, Permission},
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

/// As [`require_own`]; executions may change what the deployment they run in consists of, wherever
/// that is.
///
/// # Errors
/// 400.
pub(crate) fn require_own_unless_execution(
    caller: &Caller,
    id: &str,
    tenant: &str,
) -> Result<(), Error> {
    match caller.execution.is_some() || caller.method == Method::System {
        true => Ok(()),
        false => require_own(caller, id, tenant),
    }
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
    let tenant = row.owner.tenant.as_deref().unwrap_or_default();
    require_own_unless_execution(caller, id, tenant)?;
    Ok(row)
}
