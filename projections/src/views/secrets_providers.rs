//! Providers of secrets: where values are kept that the manager does not keep itself.
use serde::{Deserialize, Serialize};
use stratalog_schema::{Event, events::SecretsProviderCreated, time::wire};

use super::{scope, scoped};
use crate::{
    Error,
    owned::owned_doc,
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "secrets_providers",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("updated_at", Kind::Int),
        Column::plain("id", Kind::Text),
    ],
    fields: &{
        let [c0, c1, c2, c3, c4] = COMMON;
        [
            Field::col("created_at", Kind::Int, "created_at"),
            Field::col("id", Kind::Text, "id"),
            Field::col("name", Kind::Text, "id"),
            Field::doc("type", Kind::Text),
            Field::doc("connection_parameters", Kind::Json),
            Field::col("updated_at", Kind::Int, "updated_at"),
            c0,
            c1,
            c2,
            c3,
            c4,
        ]
    },
};

owned_doc! {
    /// A provider of secrets.
    pub struct SecretsProvider {
        /// Creation.
        pub created_at: String,
        /// Its name once more.
        pub id: String,
        /// Its name, unique in its tenant.
        pub name: String,
        /// `local`, `vault` or `cloudify`.
        #[serde(rename = "type")]
        pub kind: String,
        /// Latest change.
        pub updated_at: String,
        /// What is not served as it is.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of a provider is not served as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Latest change; milliseconds since the epoch.
    pub updated_at_ms: i64,
    /// How to reach it, sealed, in hexadecimal.
    pub connection_parameters_sealed: Option<String>,
}

impl Resource for SecretsProvider {
    const VIEW: View = View::SecretsProviders;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.name)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.own.created_at_ms)),
            Col::Int(Some(self.own.updated_at_ms)),
            Col::from(self.name.as_str()),
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
        Event::SecretsProviderCreated(e) => scoped(&scope(e.scope.as_ref()).tenant, &e.name),
        Event::SecretsProviderChanged(e) => scoped(&e.tenant, &e.name),
        Event::SecretsProviderDeleted(e) => scoped(&e.tenant, &e.name),
        _ => return,
    };
    needs.key(View::SecretsProviders, key);
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::SecretsProviderCreated(e) => rows.put(&created(e)),
        Event::SecretsProviderChanged(e) => {
            let mut provider: SecretsProvider = rows.expect(&scoped(&e.tenant, &e.name))?;
            provider.updated_at = wire(e.updated_at_ms);
            provider.own.updated_at_ms = e.updated_at_ms;
            if let Some(kind) = &e.r#type {
                provider.kind.clone_from(kind);
            }
            if let Some(sealed) = &e.connection_parameters_sealed {
                provider.own.connection_parameters_sealed = Some(hex::encode(sealed));
            }
            if let Some(visibility) = &e.visibility {
                provider.set_visibility(visibility);
            }
            rows.put(&provider)
        }
        Event::SecretsProviderDeleted(e) => {
            rows.remove(View::SecretsProviders, &scoped(&e.tenant, &e.name));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn created(e: &SecretsProviderCreated) -> SecretsProvider {
    let scope = scope(e.scope.as_ref());
    let at = wire(e.created_at_ms);
    let sealed = e.connection_parameters_sealed.as_ref();
    let mut provider = SecretsProvider {
        created_at: at.clone(),
        id: e.name.clone(),
        name: e.name.clone(),
        kind: e.r#type.clone(),
        updated_at: at,
        own: Own {
            created_at_ms: e.created_at_ms,
            updated_at_ms: e.created_at_ms,
            connection_parameters_sealed: sealed.map(hex::encode),
        },
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    provider.set_visibility(&scope.visibility);
    provider
}
