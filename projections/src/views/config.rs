//! Manager configuration, one row per scope and name.
use serde::{Deserialize, Serialize};
use stratalog_schema::{Event, time::wire};

use super::{Json, json};
use crate::{
    Error,
    rows::{Needs, Rows},
    view::{Col, Column, Def, Field, Kind, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "config",
    version: 1,
    columns: &[Column::linked("scope")],
    fields: &[
        Field::doc("name", Kind::Text),
        Field::doc("value", Kind::Json),
        Field::doc("schema", Kind::Json),
        Field::doc("is_editable", Kind::Bool),
        Field::doc("admin_only", Kind::Bool),
        Field::doc("updated_at", Kind::Text),
        Field::col("scope", Kind::Text, "scope"),
        Field::doc("updater_name", Kind::Text),
    ],
};

/// One setting.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setting {
    /// Name within the scope.
    pub name: String,
    /// Its value.
    pub value: Option<Json>,
    /// JSON schema the value must satisfy.
    pub schema: Option<Json>,
    /// Whether it may be changed without force.
    pub is_editable: bool,
    /// Whether only administrators see the value.
    pub admin_only: bool,
    /// Latest change; null for a default.
    pub updated_at: Option<String>,
    /// `rest`, `mgmtworker`, `agent` or `workflow`.
    pub scope: String,
    /// Who changed it last.
    pub updater_name: Option<String>,
}

impl Resource for Setting {
    const VIEW: View = View::Config;

    fn key(&self) -> String {
        format!("{}.{}", self.scope, self.name)
    }

    fn columns(&self) -> Vec<Col> {
        vec![Col::from(self.scope.as_str())]
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    if let Event::ConfigSet(e) = event {
        needs.key(View::Config, format!("{}.{}", e.scope, e.name));
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    let Event::ConfigSet(e) = event else {
        return Ok(());
    };
    rows.put(&Setting {
        name: e.name.clone(),
        value: json(&e.value_json)?,
        schema: json(&e.schema_json)?,
        is_editable: e.is_editable,
        admin_only: e.admin_only,
        updated_at: e.updated_at_ms.map(wire),
        scope: e.scope.clone(),
        updater_name: e.updater.clone(),
    })
}
