//! Secrets. The document says everything but the value, which is kept sealed beside it.
use serde::{Deserialize, Serialize};
use stratalog_schema::{
    Event,
    events::{SecretChanged, SecretCreated},
    time::wire,
};

use super::{Json, json, scope, scoped};
use crate::{
    Error,
    owned::owned_doc,
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "secrets",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("updated_at", Kind::Int),
        Column::plain("id", Kind::Text),
        Column::plain("provider_name", Kind::Text),
    ],
    fields: &{
        let [c0, c1, c2, c3, c4] = COMMON;
        [
            Field::col("created_at", Kind::Int, "created_at"),
            Field::doc("value", Kind::Json),
            Field::col("updated_at", Kind::Int, "updated_at"),
            Field::doc("is_hidden_value", Kind::Bool),
            Field::doc("schema", Kind::Json),
            Field::doc("provider_options", Kind::Json),
            Field::col("key", Kind::Text, "id"),
            Field::col("provider_name", Kind::Text, "provider_name"),
            c0,
            c1,
            c2,
            c3,
            c4,
        ]
    },
};

owned_doc! {
    /// A secret.
    pub struct Secret {
        /// Creation.
        pub created_at: String,
        /// Latest change.
        pub updated_at: String,
        /// Whether only its creator and administrators see the value.
        pub is_hidden_value: bool,
        /// JSON schema of the value.
        pub schema: Option<Json>,
        /// Its key, unique in its tenant.
        pub key: String,
        /// The provider that knows the value.
        pub provider_name: Option<String>,
        /// What is not served as it is.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of a secret is not served as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Latest change; milliseconds since the epoch.
    pub updated_at_ms: i64,
    /// The sealed value, in hexadecimal; empty when only a provider knows it.
    pub value_sealed: String,
    /// Sealed options for the provider, in hexadecimal.
    pub provider_options_sealed: Option<String>,
}

impl Resource for Secret {
    const VIEW: View = View::Secrets;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.key)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.own.created_at_ms)),
            Col::Int(Some(self.own.updated_at_ms)),
            Col::from(self.key.as_str()),
            Col::from(&self.provider_name),
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
        Event::SecretCreated(e) => scoped(&scope(e.scope.as_ref()).tenant, &e.key),
        Event::SecretChanged(e) => scoped(&e.tenant, &e.key),
        Event::SecretDeleted(e) => scoped(&e.tenant, &e.key),
        _ => return,
    };
    needs.key(View::Secrets, key);
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::SecretCreated(e) => rows.put(&created(e)?),
        Event::SecretChanged(e) => {
            let mut secret: Secret = rows.expect(&scoped(&e.tenant, &e.key))?;
            change(&mut secret, e)?;
            rows.put(&secret)
        }
        Event::SecretDeleted(e) => {
            rows.remove(View::Secrets, &scoped(&e.tenant, &e.key));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn created(e: &SecretCreated) -> Result<Secret, Error> {
    let scope = scope(e.scope.as_ref());
    let mut secret = Secret {
        created_at: wire(e.created_at_ms),
        updated_at: wire(e.updated_at_ms),
        is_hidden_value: e.is_hidden_value,
        schema: json(e.schema_json.as_deref().unwrap_or_default())?,
        key: e.key.clone(),
        provider_name: e.provider_name.clone(),
        own: Own {
            created_at_ms: e.created_at_ms,
            updated_at_ms: e.updated_at_ms,
            value_sealed: hex::encode(&e.value_sealed),
            provider_options_sealed: e.provider_options_sealed.as_ref().map(hex::encode),
        },
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    secret.set_visibility(&scope.visibility);
    Ok(secret)
}

fn change(secret: &mut Secret, e: &SecretChanged) -> Result<(), Error> {
    secret.updated_at = wire(e.updated_at_ms);
    secret.own.updated_at_ms = e.updated_at_ms;
    if let Some(sealed) = &e.value_sealed {
        secret.own.value_sealed = hex::encode(sealed);
    }
    if let Some(sealed) = &e.provider_options_sealed {
        secret.own.provider_options_sealed = (!sealed.is_empty()).then(|| hex::encode(sealed));
    }
    if let Some(hidden) = e.is_hidden_value {
        secret.is_hidden_value = hidden;
    }
    if let Some(visibility) = &e.visibility {
        secret.set_visibility(visibility);
    }
    if let Some(creator) = &e.created_by {
        secret.created_by.clone_from(creator);
    }
    if let Some(provider) = &e.provider_name {
        secret.provider_name = Some(provider.clone()).filter(|name| !name.is_empty());
    }
    if let Some(schema) = &e.schema_json {
        secret.schema = json(schema)?;
    }
    Ok(())
}
