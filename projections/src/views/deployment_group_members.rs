//! Which deployment is in which group: one row each, so that a large group grows by what joins it.
use serde::{Deserialize, Serialize};
use stratalog_schema::Event;

use super::{nodes::of_tenant, scoped};
use crate::{
    Error,
    rows::{Needs, Rows},
    view::{Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "deployment_group_members",
    version: 1,
    columns: &[Column::linked("group_id"), Column::linked("deployment_id")],
    fields: &[
        Field::col("group_id", Kind::Text, "group_id"),
        Field::col("deployment_id", Kind::Text, "deployment_id"),
        Field::col("tenant_name", Kind::Text, "tenant"),
    ],
};

/// A deployment in a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeploymentGroupMember {
    /// The group.
    pub group_id: String,
    /// The deployment.
    pub deployment_id: String,
    /// The tenant of both.
    pub tenant_name: String,
}

impl Resource for DeploymentGroupMember {
    const VIEW: View = View::DeploymentGroupMembers;

    fn key(&self) -> String {
        key(&self.tenant_name, &self.group_id, &self.deployment_id)
    }

    fn owner(&self) -> Owner {
        Owner {
            tenant: Some(self.tenant_name.clone()),
            ..Owner::default()
        }
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::from(self.group_id.as_str()),
            Col::from(self.deployment_id.as_str()),
        ]
    }
}

fn key(tenant: &str, group_id: &str, deployment_id: &str) -> String {
    // a deployment's id has no slash in it, whatever a group's id may have
    scoped(tenant, &format!("{group_id}/{deployment_id}"))
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    let (tenant, group, deployments) = match event {
        Event::DeploymentGroupExtended(e) => (&e.tenant, &e.id, &e.deployment_ids),
        Event::DeploymentGroupShrunk(e) => (&e.tenant, &e.id, &e.deployment_ids),
        Event::DeploymentGroupDeleted(e) => {
            return needs.link(View::DeploymentGroupMembers, "group_id", &e.id);
        }
        Event::DeploymentDeleted(e) => {
            return needs.link(View::DeploymentGroupMembers, "deployment_id", &e.id);
        }
        _ => return,
    };
    for deployment in deployments {
        needs.key(View::DeploymentGroupMembers, key(tenant, group, deployment));
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    const VIEW: View = View::DeploymentGroupMembers;
    match event {
        Event::DeploymentGroupExtended(e) => {
            for deployment in &e.deployment_ids {
                rows.put(&DeploymentGroupMember {
                    group_id: e.id.clone(),
                    deployment_id: deployment.clone(),
                    tenant_name: e.tenant.clone(),
                })?;
            }
        }
        Event::DeploymentGroupShrunk(e) => {
            for deployment in &e.deployment_ids {
                rows.remove(VIEW, &key(&e.tenant, &e.id, deployment));
            }
        }
        Event::DeploymentGroupDeleted(e) => {
            let found = rows.find(VIEW, "group_id", &e.id);
            for key in of_tenant(found, &e.tenant) {
                rows.remove(VIEW, &key);
            }
        }
        Event::DeploymentDeleted(e) => {
            let found = rows.find(VIEW, "deployment_id", &e.id);
            for key in of_tenant(found, &e.tenant) {
                rows.remove(VIEW, &key);
            }
        }
        _ => {}
    }
    Ok(())
}
