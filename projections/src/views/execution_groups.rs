//! Groups of executions. Their executions name them, and their status follows from those of the
//! executions: readers append both.
use serde::{Deserialize, Serialize};
use stratalog_schema::{Event, events::ExecutionGroupCreated, time::wire};

use super::{blueprints::set, nodes::of_tenant, scope, scoped};
use crate::{
    Error,
    owned::owned_doc,
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "execution_groups",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("id", Kind::Text),
        Column::plain("workflow_id", Kind::Text),
        Column::linked("deployment_group_id"),
    ],
    fields: &{
        let [c0, c1, c2, c3, c4] = COMMON;
        [
            Field::col("created_at", Kind::Int, "created_at"),
            Field::col("id", Kind::Text, "id"),
            Field::col("workflow_id", Kind::Text, "workflow_id"),
            Field::doc("concurrency", Kind::Int),
            Field::col("deployment_group_id", Kind::Text, "deployment_group_id"),
            c0,
            c1,
            c2,
            c3,
            c4,
            Field::doc("execution_ids", Kind::Json),
            Field::doc("status", Kind::Json),
        ]
    },
};

owned_doc! {
    /// A group of executions.
    pub struct ExecutionGroup {
        /// Creation.
        pub created_at: String,
        /// Its id.
        pub id: String,
        /// The workflow they run.
        pub workflow_id: String,
        /// How many of them may run at the same time.
        pub concurrency: i64,
        /// The group of deployments they run on.
        pub deployment_group_id: Option<String>,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of a group is not served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Group that receives deployments whose execution succeeds.
    pub success_group_id: Option<String>,
    /// Group that receives deployments whose execution fails.
    pub failure_group_id: Option<String>,
}

impl Resource for ExecutionGroup {
    const VIEW: View = View::ExecutionGroups;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.id)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.own.created_at_ms)),
            Col::from(self.id.as_str()),
            Col::from(self.workflow_id.as_str()),
            Col::from(&self.deployment_group_id),
        ]
    }

    fn hidden(&self) -> Result<Option<String>, serde_json::Error> {
        serde_json::to_string(&self.own).map(Some)
    }

    fn restore_hidden(&mut self, hidden: &str) -> Result<(), serde_json::Error> {
        self.own = serde_json::from_str(hidden)?;
        Ok(())
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    match event {
        Event::ExecutionGroupCreated(e) => {
            let key = scoped(&scope(e.scope.as_ref()).tenant, &e.id);
            needs.key(View::ExecutionGroups, key);
        }
        Event::ExecutionGroupChanged(e) => {
            needs.key(View::ExecutionGroups, scoped(&e.tenant, &e.id));
        }
        Event::DeploymentGroupDeleted(e) => {
            needs.link(View::ExecutionGroups, "deployment_group_id", &e.id);
        }
        _ => {}
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::ExecutionGroupCreated(e) => rows.put(&created(e))?,
        Event::ExecutionGroupChanged(e) => {
            let mut group: ExecutionGroup = rows.expect(&scoped(&e.tenant, &e.id))?;
            group.concurrency = e.concurrency.unwrap_or(group.concurrency);
            set(&mut group.own.success_group_id, &e.success_group_id);
            set(&mut group.own.failure_group_id, &e.failure_group_id);
            rows.put(&group)?;
        }
        Event::DeploymentGroupDeleted(e) => {
            let found = rows.find(View::ExecutionGroups, "deployment_group_id", &e.id);
            for key in of_tenant(found, &e.tenant) {
                let mut group: ExecutionGroup = rows.expect(&key)?;
                group.deployment_group_id = None;
                rows.put(&group)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn created(e: &ExecutionGroupCreated) -> ExecutionGroup {
    let scope = scope(e.scope.as_ref());
    let mut group = ExecutionGroup {
        created_at: wire(e.created_at_ms),
        id: e.id.clone(),
        workflow_id: e.workflow_id.clone(),
        concurrency: e.concurrency,
        deployment_group_id: e.deployment_group_id.clone(),
        own: Own {
            created_at_ms: e.created_at_ms,
            ..Own::default()
        },
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    group.set_visibility(&scope.visibility);
    group
}
