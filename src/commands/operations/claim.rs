//! Who runs an operation. The same operation may be asked for by several messages: an executor that
//! cannot know whether one has arrived sends another, and so does one whose term has ended without
//! its knowledge. One message gets it.
use serde_json::Value;
use stratalog_projections::views::operations::{Claim, Operation, is_begun, is_terminal};
use stratalog_schema::{Category, Event, StreamId, events::OperationClaimed};

use super::{MODEL, UpdateOperation, decide, reported, running::Running};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::visibility,
    context::Context,
    error::{Error, ErrorCode},
    log::Expected,
    store::Decision,
};

const STARTED: &str = "started";

/// Whose an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nobody has begun it.
    Free,
    /// The same run asks again.
    Own,
    /// An earlier run of it was interrupted, or nobody waits for it any more.
    Interrupted,
    /// It runs for another message.
    Taken,
    /// It has ended.
    Over,
}

impl Standing {
    fn of(operation: &Operation, claim: &Claim) -> Self {
        let own = operation.own.claim.as_ref();
        Self::between((&operation.state, own), claim)
    }

    fn between((state, own): (&str, Option<&Claim>), claim: &Claim) -> Self {
        match own {
            _ if is_terminal(state) => Self::Over,
            Some(own) if own == claim => Self::Own,
            _ if !is_begun(state) => Self::Free,
            Some(own) if own.token == claim.token && own.message != claim.message => Self::Taken,
            _ => Self::Interrupted,
        }
    }
}

/// The stream in which an operation is claimed.
pub(crate) fn claims(tenant: &str, id: &str) -> StreamId {
    StreamId::scoped(Category::OperationClaim, tenant, id)
}

/// Claims an operation for a message and shows it as started. Gives whether an earlier run of it
/// was interrupted, and the position. The same run may ask again.
///
/// # Errors
/// 403, 404; 409 when the operation has ended, or runs for another message; database errors.
pub async fn claim(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    (claim, report): (&Claim, &UpdateOperation),
) -> Result<(bool, i64), Error> {
    caller.require_or_execution(Permission::Operations)?;
    if report.state != STARTED {
        return Err(Error::bad_parameters(
            "An operation is claimed by who starts it",
        ));
    }
    if let Some(running) = Running::find(ctx, caller, id)?
        && let Some(claimed) = running.claim(ctx, caller, (claim, report)).await?
    {
        return Ok(claimed);
    }
    let (appended, resumes) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let operation: Operation =
                visibility::own(caller, view, MODEL, id).await?.resource()?;
            let mut decision = Decision::nothing();
            let standing = Standing::of(&operation, claim);
            match standing {
                Standing::Own => return Ok((decision, false)),
                Standing::Over => return Err(refused("has ended")),
                Standing::Taken => return Err(refused("runs for another message")),
                Standing::Free => {
                    decision = decide(view, caller, &operation, report).await?;
                }
                Standing::Interrupted => {}
            }
            let changes = claims(&operation.tenant_name, id);
            decision.rests_on(view, changes.clone()).await?;
            let event = claimed(&operation, claim, report);
            decision.event(changes, Event::OperationClaimed(event));
            Ok((decision, standing == Standing::Interrupted))
        })
        .await?;
    Ok((resumes, appended.last_position))
}

impl Running {
    /// Claims what nobody has begun. `None`: the database has to be asked.
    async fn claim(
        &self,
        ctx: &Context,
        caller: &Caller,
        (claim, report): (&Claim, &UpdateOperation),
    ) -> Result<Option<(bool, i64)>, Error> {
        let operation = &self.operation;
        if Standing::of(operation, claim) != Standing::Free {
            return Ok(None);
        }
        let mut decision = reported(caller, (operation, Some(&self.execution)), report)?;
        let changes = claims(&operation.tenant_name, &operation.id);
        // one that was not appended to lately is taken for new; if it is not, the append finds out
        let latest = ctx.store.log().latest();
        let version = latest.ask(|known| known.version(&changes)).unwrap_or(0);
        let expected = Expected::Version(version);
        decision.expected.push((changes.clone(), expected));
        let event = claimed(operation, claim, report);
        decision.event(changes, Event::OperationClaimed(event));
        let appended = self.append(ctx, caller, decision).await?;
        Ok(appended.map(|appended| (false, appended.last_position)))
    }
}

fn claimed(operation: &Operation, claim: &Claim, report: &UpdateOperation) -> OperationClaimed {
    OperationClaimed {
        id: operation.id.clone(),
        execution_id: operation.own.execution_id.clone(),
        tenant: operation.tenant_name.clone(),
        token_digest: claim.token.clone(),
        message: claim.message.clone(),
        run: claim.run.clone(),
        manager_name: report.manager_name.clone(),
        agent_name: report.agent_name.clone(),
        at_ms: clock::now_ms(),
    }
}

fn refused(why: &str) -> Error {
    Error::refused(ErrorCode::Conflict, format!("The operation {why}"))
}

/// A claim as it is sent: three short texts.
///
/// # Errors
/// 400.
pub fn parse(sent: &Value) -> Result<Claim, Error> {
    let claim: Claim = serde_json::from_value(sent.clone())
        .map_err(|error| Error::bad_parameters(format!("claim: {error}")))?;
    let parts = [&claim.token, &claim.message, &claim.run];
    match parts.iter().all(|part| part.len() <= 200) {
        true => Ok(claim),
        false => Err(Error::bad_parameters("claim: longer than 200 bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(token: &str, message: &str, run: &str) -> Claim {
        let [token, message, run] = [token, message, run].map(str::to_owned);
        Claim {
            token,
            message,
            run,
        }
    }

    fn standing(state: &str, own: Option<Claim>) -> Standing {
        Standing::between((state, own.as_ref()), &of("t", "m", "r"))
    }

    #[test]
    fn one_message_has_an_operation() {
        assert_eq!(standing("sent", None), Standing::Free);
        assert_eq!(standing("started", Some(of("t", "m", "r"))), Standing::Own);
        assert_eq!(
            standing("started", Some(of("t", "n", "r"))),
            Standing::Taken
        );
        assert_eq!(
            standing("response-sent", Some(of("t", "n", "r"))),
            Standing::Taken
        );
        // it came again
        assert_eq!(
            standing("started", Some(of("t", "m", "q"))),
            Standing::Interrupted
        );
        // the execution was resumed
        assert_eq!(
            standing("started", Some(of("s", "n", "q"))),
            Standing::Interrupted
        );
        // whoever started it makes no claims
        assert_eq!(standing("started", None), Standing::Interrupted);
        assert_eq!(standing("failed", Some(of("t", "m", "r"))), Standing::Over);
    }
}
