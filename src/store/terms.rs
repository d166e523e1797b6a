//! What a request asks for beside what it is about: to be carried out once, and only while a
//! resource is what its sender believes it to be. Terms go with the task, so that what lies between
//! the request and the log need not know of them.
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use stratalog_projections::View as ViewName;
use uuid::Uuid;

use super::{Decision, View};
use crate::{
    error::{Error, ErrorCode},
    log::{Appended, Expected, read},
};

tokio::task_local! {
    static TERMS: Arc<Terms>;
}

/// A resource has to be what it was.
#[derive(Debug)]
pub struct Condition {
    /// The tenant it is looked for in, unless it is in none.
    pub tenant: Option<String>,
    /// View and id; without a tenant, the key.
    pub target: (ViewName, String),
    /// Positions since which it may be what it is; `None`: it only has to be there.
    pub since: Option<Vec<i64>>,
}

/// The terms of one request.
#[derive(Debug)]
pub struct Terms {
    key: Option<Uuid>,
    condition: Option<Condition>,
    appends: AtomicU32,
}

impl Terms {
    /// Terms to carry something out under.
    pub fn new(key: Option<Uuid>, condition: Option<Condition>) -> Arc<Self> {
        Arc::new(Self {
            key,
            condition,
            appends: AtomicU32::new(0),
        })
    }

    /// Carries something out under these terms.
    pub async fn apply<F: Future>(self: &Arc<Self>, work: F) -> F::Output {
        TERMS.scope(self.clone(), work).await
    }

    /// The terms of what this task carries out, if it has any.
    pub(super) fn current() -> Option<Arc<Self>> {
        TERMS.try_with(Arc::clone).ok()
    }

    /// Whether the request of this task has a condition: what is changed must be looked at.
    pub fn is_conditional() -> bool {
        Self::current().is_some_and(|terms| terms.condition.is_some())
    }

    /// Whether anything was appended under these terms.
    pub fn has_appended(&self) -> bool {
        self.appends.load(Ordering::Acquire) > 0
    }

    /// Identity of the next append: the same when the request is sent again.
    pub(super) fn command_id(&self) -> Option<Uuid> {
        let nth = self.appends.load(Ordering::Acquire);
        self.key.map(|key| Uuid::new_v5(&key, &nth.to_be_bytes()))
    }

    /// Something was appended. The answer to what an earlier request appended was lost: no other
    /// one would be true.
    pub(super) fn landed(&self, appended: &Appended) -> Result<(), Error> {
        if self.key.is_some() && appended.repeated {
            return Err(Error::refused(
                ErrorCode::AnswerLost,
                format!(
                    "A request with this Idempotency-Key was carried out at position {}, but its \
                     answer was lost",
                    appended.last_position
                ),
            ));
        }
        self.appends.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Holds a decision against the condition, and makes it rest on what was looked at. Only before
    /// the first append: what follows it sees the request's own doing.
    pub(super) async fn check(&self, view: &View, decision: &mut Decision) -> Result<(), Error> {
        let Some(condition) = self.condition.as_ref().filter(|_| !self.has_appended()) else {
            return Ok(());
        };
        if decision.events.is_empty() && decision.telemetry.is_empty() {
            return Ok(());
        }
        if !condition.holds(view).await? {
            return Err(Error::refused(
                ErrorCode::PreconditionFailed,
                "The resource is not what If-Match says: it was changed since",
            ));
        }
        for event in &decision.events {
            let is_known = |(stream, _): &(_, _)| *stream == event.stream;
            if !decision.expected.iter().any(is_known) {
                let version = read::stream_version(view, &event.stream).await?;
                let expected = Expected::Version(version);
                decision.expected.push((event.stream.clone(), expected));
            }
        }
        Ok(())
    }
}

impl Condition {
    async fn holds(&self, view: &View) -> Result<bool, Error> {
        let (name, id) = &self.target;
        let found = match &self.tenant {
            Some(tenant) => view.in_tenant(*name, tenant, id).await?,
            None => view.row(*name, id).await?,
        };
        Ok(found.is_some_and(|row| {
            let since = self.since.as_ref();
            since.is_none_or(|since| since.contains(&row.since))
        }))
    }
}
