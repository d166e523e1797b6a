//! Active executions by the digest of their token.
use std::sync::Arc;

use stratalog_projections::{
    Condition, Connection, ListQuery, Reader, Scope, View,
    views::{
        executions::{Execution, is_active},
        scoped,
    },
};
use stratalog_schema::Event;

use crate::error::Error;

const ACTIVE: [&str; 5] = [
    "pending",
    "started",
    "cancelling",
    "force_cancelling",
    "kill_cancelling",
];

/// An execution that runs or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningExecution {
    /// Its id.
    pub id: String,
    /// Its tenant.
    pub tenant: String,
    /// On whose behalf it acts.
    pub created_by: String,
    /// Where it stands.
    pub status: String,
    /// sha256 hex of its token, once issued.
    token_sha256: Option<String>,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Executions {
    by_key: imbl::HashMap<String, Arc<RunningExecution>>,
    by_token: imbl::HashMap<String, Arc<RunningExecution>>,
}

impl Executions {
    pub(super) fn by_token(&self, sha256: &str) -> Option<&Arc<RunningExecution>> {
        self.by_token.get(sha256)
    }

    pub(super) async fn read_from<C: Connection>(reader: &Reader<C>) -> Result<Self, Error> {
        let active = ACTIVE.map(str::to_owned).to_vec();
        let query = ListQuery::all(View::Executions, Scope::Everything)
            .with(Condition::AnyOf("status".to_owned(), active));
        let mut executions = Self::default();
        for execution in reader.select_as::<Execution>(&query).await? {
            executions.put(RunningExecution {
                id: execution.id,
                tenant: execution.tenant_name,
                created_by: execution.created_by,
                status: execution.status,
                token_sha256: execution.own.token_sha256,
            });
        }
        Ok(executions)
    }

    fn put(&mut self, execution: RunningExecution) {
        self.remove(&execution.tenant, &execution.id);
        let execution = Arc::new(execution);
        let key = scoped(&execution.tenant, &execution.id);
        self.by_key.insert(key, execution.clone());
        if let Some(token) = &execution.token_sha256 {
            self.by_token.insert(token.clone(), execution.clone());
        }
    }

    fn remove(&mut self, tenant: &str, id: &str) {
        let former = self.by_key.remove(&scoped(tenant, id));
        if let Some(token) = former.as_ref().and_then(|e| e.token_sha256.as_ref()) {
            self.by_token.remove(token);
        }
    }

    fn change(&mut self, tenant: &str, id: &str, change: impl FnOnce(&mut RunningExecution)) {
        if let Some(found) = self.by_key.get(&scoped(tenant, id)) {
            let mut execution = (**found).clone();
            change(&mut execution);
            self.put(execution);
        }
    }

    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::ExecutionCreated(e) if is_active(&e.status) => {
                let scope = e.scope.clone().unwrap_or_default();
                self.put(RunningExecution {
                    id: e.id.clone(),
                    tenant: scope.tenant,
                    created_by: scope.created_by,
                    status: e.status.clone(),
                    token_sha256: None,
                });
            }
            Event::ExecutionTokenIssued(e) => self.change(&e.tenant, &e.id, |execution| {
                execution.token_sha256 = Some(e.token_sha256.clone());
            }),
            Event::ExecutionStatusChanged(e) if is_active(&e.status) => {
                self.change(&e.tenant, &e.id, |execution| {
                    execution.status.clone_from(&e.status);
                });
            }
            // one that becomes active again is found in the database until its token is issued
            Event::ExecutionStatusChanged(e) => self.remove(&e.tenant, &e.id),
            Event::ExecutionDeleted(e) => self.remove(&e.tenant, &e.id),
            _ => {}
        }
    }
}
