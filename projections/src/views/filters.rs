//! Stored filters: rules under a name, for blueprints and for deployments.
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use stratalog_schema::{Event, events::FilterCreated, time::wire};

use super::{Json, scope, scoped};
use crate::{
    Error,
    owned::owned_doc,
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "filters",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("kind", Kind::Text),
        Column::plain("id", Kind::Text),
    ],
    fields: &{
        let [c0, c1, c2, c3, c4] = COMMON;
        [
            Field::col("created_at", Kind::Int, "created_at"),
            Field::col("id", Kind::Text, "id"),
            Field::doc("value", Kind::Json),
            Field::doc("updated_at", Kind::Text),
            Field::doc("is_system_filter", Kind::Bool),
            Field::doc("labels_filter_rules", Kind::Json),
            Field::doc("attrs_filter_rules", Kind::Json),
            c0,
            c1,
            c2,
            c3,
            c4,
        ]
    },
};

owned_doc! {
    /// A stored filter.
    pub struct Filter {
        /// Creation.
        pub created_at: String,
        /// Its id, unique among the filters of its kind in its tenant.
        pub id: String,
        /// All rules.
        pub value: Json,
        /// Latest change.
        pub updated_at: String,
        /// Whether the manager came with it.
        pub is_system_filter: bool,
        /// The rules about labels.
        pub labels_filter_rules: Json,
        /// The rules about attributes.
        pub attrs_filter_rules: Json,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of a filter is not served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
    /// `blueprints` or `deployments`.
    pub kind: String,
}

/// Key of a filter.
pub fn key(tenant: &str, kind: &str, id: &str) -> String {
    scoped(tenant, &format!("{kind}/{id}"))
}

impl Filter {
    /// Sets the rules, whole and in their two parts.
    fn set_rules(&mut self, rules_json: &str) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Rule<'a> {
            #[serde(rename = "type")]
            kind: &'a str,
        }
        let rules: Vec<&RawValue> =
            serde_json::from_str(rules_json).map_err(Error::EventDocument)?;
        let (mut labels, mut attributes) = (Vec::new(), Vec::new());
        for rule in rules {
            let kind: Rule<'_> = serde_json::from_str(rule.get()).map_err(Error::EventDocument)?;
            match kind.kind {
                "label" => labels.push(rule),
                _ => attributes.push(rule),
            }
        }
        self.labels_filter_rules = to_raw_value(&labels).map_err(Error::EventDocument)?;
        self.attrs_filter_rules = to_raw_value(&attributes).map_err(Error::EventDocument)?;
        self.value = RawValue::from_string(rules_json.to_owned()).map_err(Error::EventDocument)?;
        Ok(())
    }
}

impl Resource for Filter {
    const VIEW: View = View::Filters;

    fn key(&self) -> String {
        key(&self.tenant_name, &self.own.kind, &self.id)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.own.created_at_ms)),
            Col::from(self.own.kind.as_str()),
            Col::from(self.id.as_str()),
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
    let key = match event {
        Event::FilterCreated(e) => key(&scope(e.scope.as_ref()).tenant, &e.kind, &e.id),
        Event::FilterChanged(e) => key(&e.tenant, &e.kind, &e.id),
        Event::FilterDeleted(e) => key(&e.tenant, &e.kind, &e.id),
        _ => return,
    };
    needs.key(View::Filters, key);
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::FilterCreated(e) => rows.put(&created(e)?),
        Event::FilterChanged(e) => {
            let mut filter: Filter = rows.expect(&key(&e.tenant, &e.kind, &e.id))?;
            filter.updated_at = wire(e.updated_at_ms);
            if let Some(rules) = &e.rules_json {
                filter.set_rules(rules)?;
            }
            if let Some(visibility) = &e.visibility {
                filter.set_visibility(visibility);
            }
            rows.put(&filter)
        }
        Event::FilterDeleted(e) => {
            rows.remove(View::Filters, &key(&e.tenant, &e.kind, &e.id));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn created(e: &FilterCreated) -> Result<Filter, Error> {
    let scope = scope(e.scope.as_ref());
    let at = wire(e.created_at_ms);
    let mut filter = Filter {
        created_at: at.clone(),
        id: e.id.clone(),
        value: RawValue::NULL.to_owned(),
        updated_at: at,
        is_system_filter: e.is_system,
        labels_filter_rules: RawValue::NULL.to_owned(),
        attrs_filter_rules: RawValue::NULL.to_owned(),
        own: Own {
            created_at_ms: e.created_at_ms,
            kind: e.kind.clone(),
        },
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    filter.set_visibility(&scope.visibility);
    filter.set_rules(&e.rules_json)?;
    Ok(filter)
}
