//! Nodes of the cluster besides those that a manager knows of itself.
use serde::{Deserialize, Serialize};
use stratalog_schema::Event;

use super::{Json, json};
use crate::{
    Error,
    rows::{Needs, Rows},
    view::{Col, Column, Def, Field, Kind, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "cluster_nodes",
    version: 1,
    columns: &[Column::linked("kind"), Column::plain("name", Kind::Text)],
    fields: &[
        Field::col("kind", Kind::Text, "kind"),
        Field::col("name", Kind::Text, "name"),
        Field::doc("facts", Kind::Json),
        Field::doc("at_ms", Kind::Int),
    ],
};

/// A further node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterNode {
    /// `manager` or `broker`.
    pub kind: String,
    /// Its name, unique among its kind.
    pub name: String,
    /// What was said of it.
    pub facts: Option<Json>,
    /// When that was said last; milliseconds since the epoch.
    pub at_ms: i64,
}

impl ClusterNode {
    /// Key of a node's row.
    pub fn key_of(kind: &str, name: &str) -> String {
        format!("{kind}/{name}")
    }
}

impl Resource for ClusterNode {
    const VIEW: View = View::ClusterNodes;

    fn key(&self) -> String {
        Self::key_of(&self.kind, &self.name)
    }

    fn columns(&self) -> Vec<Col> {
        vec![Col::from(self.kind.as_str()), Col::from(self.name.as_str())]
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    let (kind, name) = match event {
        Event::ClusterNodeStored(e) => (&e.kind, &e.name),
        Event::ClusterNodeRemoved(e) => (&e.kind, &e.name),
        _ => return,
    };
    needs.key(View::ClusterNodes, ClusterNode::key_of(kind, name));
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::ClusterNodeStored(e) => rows.put(&ClusterNode {
            kind: e.kind.clone(),
            name: e.name.clone(),
            facts: json(&e.facts_json)?,
            at_ms: e.at_ms,
        }),
        Event::ClusterNodeRemoved(e) => {
            rows.remove(View::ClusterNodes, &ClusterNode::key_of(&e.kind, &e.name));
            Ok(())
        }
        _ => Ok(()),
    }
}
