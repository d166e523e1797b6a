//! The provider context: one document, always there on a running manager.
use serde::{Deserialize, Serialize};
use stratalog_schema::Event;

use super::{Json, json};
use crate::{
    Error,
    rows::{Needs, Rows},
    view::{Col, Def, Field, Kind, Resource, View},
};

/// Key of the only row, and its id on the wire.
pub const KEY: &str = "CONTEXT";

pub(crate) static DEF: Def = Def {
    name: "provider_context",
    version: 1,
    columns: &[],
    fields: &[
        Field::doc("id", Kind::Text),
        Field::doc("name", Kind::Text),
        Field::doc("context", Kind::Json),
    ],
};

/// The provider context.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProviderContext {
    /// Always `CONTEXT`.
    pub id: String,
    /// Name of the provider.
    pub name: String,
    /// Its document.
    pub context: Option<Json>,
}

impl Resource for ProviderContext {
    const VIEW: View = View::ProviderContext;

    fn key(&self) -> String {
        self.id.clone()
    }

    fn columns(&self) -> Vec<Col> {
        Vec::new()
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    if let Event::ProviderContextSet(_) = event {
        needs.key(View::ProviderContext, KEY);
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    let Event::ProviderContextSet(e) = event else {
        return Ok(());
    };
    rows.put(&ProviderContext {
        id: KEY.to_owned(),
        name: e.name.clone(),
        context: json(&e.context_json)?,
    })
}
