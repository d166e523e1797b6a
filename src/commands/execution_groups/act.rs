//! `POST /execution-groups/{id}`: cancelling and resuming all of a group.
use stratalog_projections::views::executions::{is_active, is_end};

use super::{executions_of, load};
use crate::{
    auth::{Caller, Permission},
    commands::{
        executions::{self, Action},
        visibility,
    },
    context::Context,
    error::Error,
    store::{Decision, View},
};

/// Does it to every execution that allows it: what waits is cancelled at once, what ended badly is
/// resumed, as many at a time as the group allows.
///
/// # Errors
/// 400, 403, 404.
pub async fn act(ctx: &Context, caller: &Caller, id: &str, action: Action) -> Result<(), Error> {
    caller.require(Permission::ExecutionGroupCancel)?;
    if matches!(action, Action::Requeue | Action::ForceTerminal) {
        return Err(Error::bad_parameters(
            "Invalid action. Valid action values are: ['cancel', 'force-cancel', 'kill', \
             'resume', 'force-resume']",
        ));
    }
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view: &View = &view;
            let group = load(view, caller, id).await?;
            visibility::require_own(caller, id, &group.tenant_name)?;
            let members = executions_of(view, &group).await?;
            let resumes = matches!(action, Action::Resume | Action::ForceResume);
            let active = members.iter().filter(|e| is_active(&e.status)).count();
            let mut free = usize::try_from(group.concurrency)
                .unwrap_or(0)
                .saturating_sub(active);
            let mut decision = Decision::nothing();
            for mut execution in members {
                let of = executions::stream(&execution.tenant_name, &execution.id);
                let changed = match resumes {
                    true if matches!(execution.status.as_str(), "failed" | "cancelled") => {
                        let status = if free > 0 { "pending" } else { "queued" };
                        free = free.saturating_sub(1);
                        let force = action == Action::ForceResume;
                        executions::resume_as(view, &mut execution, (force, status)).await?
                    }
                    true => continue,
                    false if is_end(&execution.status) => continue,
                    false => executions::cancel_in_group(view, &mut execution, action).await?,
                };
                decision.rests_on(view, of).await?;
                decision.events.extend(changed.events);
                decision.expected.extend(changed.expected);
                decision.telemetry.extend(changed.telemetry);
            }
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}
