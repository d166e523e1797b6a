//! Reports about operations that run: decided on what the log's writer knows by heart, so that they
//! cost no question to the database. Where that does not do, the database is asked.
use stratalog_projections::{
    View,
    view::restore,
    views::{
        executions::Execution,
        operations::{Operation, is_begun},
        scoped,
    },
};

use super::{UpdateOperation, reported, require_own_words};
use crate::{
    auth::Caller,
    commands::{
        executions,
        logs::{self, Said},
    },
    context::Context,
    error::Error,
    log::{Append, Appended},
    store::{Decision, Terms},
};

/// An operation that runs, and the execution it belongs to, as they were at one moment.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) operation: Operation,
    pub(super) execution: Execution,
    generation: u64,
}

impl Running {
    /// The operation, if all of it is known and the caller may change it.
    ///
    /// # Errors
    /// 403 without a tenant; stored documents of another shape.
    pub(super) fn find(ctx: &Context, caller: &Caller, id: &str) -> Result<Option<Self>, Error> {
        if Terms::is_conditional() {
            return Ok(None);
        }
        let tenant = caller.tenant()?;
        let key = scoped(tenant, id);
        let latest = ctx.store.log().latest();
        let known = latest.ask(|known| {
            let row = known.row(View::Operations, &key)?;
            Some((row, known.generation()))
        });
        let Some((row, generation)) = known else {
            return Ok(None);
        };
        if !caller.may_see(&row.owner) {
            return Ok(None);
        }
        let operation: Operation = restore(&key, &row.doc, row.hidden.as_deref())?;
        // of a later moment, which does no harm: when anything is forgotten, the decision is void
        let execution = executions::running(ctx, (tenant, &operation.own.execution_id))?;
        Ok(execution.map(|(execution, _)| Self {
            operation,
            execution,
            generation,
        }))
    }

    /// Appends a decision on it. `None`: somebody was faster.
    ///
    /// # Errors
    /// As those of appends.
    pub(super) async fn append(
        &self,
        ctx: &Context,
        caller: &Caller,
        decision: Decision,
    ) -> Result<Option<Appended>, Error> {
        let append = Append {
            meta: caller.meta(),
            events: decision.events,
            expected: decision.expected,
            rests_on: Some(self.generation),
            telemetry: decision.telemetry,
            command_id: None,
        };
        ctx.store.append_known(append).await
    }

    /// Takes a report that has no effect on others. `None`: the database has to be asked.
    ///
    /// # Errors
    /// As those of appends.
    pub(super) async fn report(
        &self,
        ctx: &Context,
        caller: &Caller,
        (report, said): (&UpdateOperation, &[Said]),
    ) -> Result<Option<i64>, Error> {
        if !is_begun(&report.state) {
            return Ok(None);
        }
        if !said.is_empty() {
            require_own_words(caller, &self.operation)?;
        }
        let Some(told) = logs::records_known(ctx, &self.execution, said) else {
            return Ok(None);
        };
        let of = (&self.operation, Some(&self.execution));
        let mut decision = reported(caller, of, report)?;
        decision.telemetry.splice(0..0, told);
        let appended = self.append(ctx, caller, decision).await?;
        Ok(appended.map(|appended| appended.last_position))
    }
}
