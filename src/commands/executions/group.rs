//! One execution of a group that is being started.
use serde_json::json;
use stratalog_projections::views::deployments::Deployment;

use super::{
    NewExecution, StartExecution, cascade, objects,
    start::{
        cascades, check_environment, checked, fill, merged, refused, rest_on_deployment, waiting,
        workflow,
    },
};
use crate::{
    commands::secrets::Opener,
    error::Error,
    store::{self, Decision},
};

/// Where an execution stands in its group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InGroup<'a> {
    /// The group.
    pub(crate) id: &'a str,
    /// Who asks for it.
    pub(crate) created_by: &'a str,
    /// Whether it has to wait.
    pub(crate) queues: bool,
}

/// What one member comes to.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) decision: Decision,
    /// Whether it begins at once.
    pub(crate) begins: bool,
}

/// An execution on one deployment of a group. It begins, waits, or fails already: only what is
/// wrong with the command itself is an error.
///
/// # Errors
/// 400 for parameters or a workflow that the deployment does not have; database errors.
pub(crate) async fn prepare_in_group(
    view: &store::View,
    opener: Opener<'_>,
    (deployment, command): (&Deployment, &StartExecution),
    place: InGroup<'_>,
) -> Result<Member, Error> {
    let spec = workflow(Some(deployment), &command.workflow_id)?;
    let merged = merged(command, spec.as_ref())?;
    let given = (spec.as_ref(), &command.parameters);
    objects::check(view, opener, deployment, given).await?;
    let new = NewExecution::pending(opener.caller, &command.workflow_id, merged.clone())?;
    let mut new = new.of(deployment);
    fill(&mut new, command, spec.is_none());
    new.event_mut().execution_group_id = Some(place.id.to_owned());
    if let Some(scope) = &mut new.event_mut().scope {
        place.created_by.clone_into(&mut scope.created_by);
    }
    let is_ready = check_environment(view, deployment).await;
    let waits = |decision| Member {
        decision,
        begins: false,
    };
    let is_pending = is_ready.as_ref().is_err_and(|error| {
        let code = error.code();
        code.ends_with("pending_error") || code.ends_with("in_progress_error")
    });
    if place.queues || is_pending {
        let because = json!({"execution_group": place.id});
        return Ok(waits(waiting(new, &because)?.0));
    }
    if let Err(error) = is_ready {
        return Ok(waits(refused(new, error)?.0));
    }
    let checked = checked(view, deployment, command, (spec.as_ref(), &merged)).await;
    if let Err(error @ Error::Refused { .. }) = checked {
        return Ok(waits(refused(new, error)?.0));
    }
    checked?;
    let cascaded = match spec.is_some_and(|spec| cascades(&spec)) {
        true => cascade::begun(view, opener, command).await,
        false => Ok(Decision::nothing()),
    };
    if let Err(error @ Error::Refused { .. }) = cascaded {
        return Ok(waits(refused(new, error)?.0));
    }
    let (mut decision, _) = rest_on_deployment(view, Some(deployment), new).await?;
    decision.extend(cascaded?);
    Ok(Member {
        decision,
        begins: true,
    })
}
