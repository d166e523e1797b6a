//! Values are opened: for an answer, or for functions that ask for them.
use std::collections::HashSet;

use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName,
    views::{secrets::Secret, secrets_providers::SecretsProvider},
};

use super::{MODEL, PROVIDER, is_open, options_purpose, purpose, remote};
use crate::{
    auth::Caller,
    context::Context,
    error::{Error, ErrorCode},
    store::View,
};

/// Whether the caller sees the value of a secret at the moment of a view. Values of the past are
/// for administrators: what was hidden or deleted since must not come back to anybody else.
pub(crate) fn sees(view: &View, caller: &Caller, secret: &Secret) -> bool {
    let is_past = view.position() < view.head();
    is_open(caller, secret) && (!is_past || caller.administers(&secret.tenant_name))
}

fn unsealed(ctx: &Context, purpose: &str, sealed: &str) -> Result<String, Error> {
    let bytes = hex::decode(sealed).map_err(Error::internal)?;
    ctx.sealer.open(purpose, &bytes).map_err(|_| {
        Error::refused(
            ErrorCode::IllegalAction,
            format!("The {purpose} was sealed with another manager's key: it must be set anew"),
        )
    })
}

/// The options for the provider of a secret, as JSON text.
///
/// # Errors
/// 400 when they were sealed under another key.
pub fn provider_options(ctx: &Context, secret: &Secret) -> Result<Option<String>, Error> {
    let purpose = options_purpose(&secret.tenant_name, &secret.key);
    let sealed = secret.own.provider_options_sealed.as_ref();
    sealed
        .map(|sealed| unsealed(ctx, &purpose, sealed))
        .transpose()
}

/// The value of a secret as it is kept: with a schema, JSON.
///
/// # Errors
/// 400 when it was sealed under another key or its provider does not answer.
pub(super) async fn text(
    ctx: &Context,
    view: &View,
    caller: &Caller,
    secret: &Secret,
) -> Result<String, Error> {
    let inside = caller.in_tenant(&secret.tenant_name);
    if let Some(name) = &secret.provider_name {
        let row = inside.get(view, PROVIDER, name).await?;
        let provider: SecretsProvider = row.resource()?;
        if provider.kind != remote::LOCAL {
            let options = provider_options(ctx, secret)?;
            let options: Map<String, Value> = match options {
                Some(text) => serde_json::from_str(&text).map_err(Error::internal)?,
                None => Map::new(),
            };
            let parameters = super::connection_parameters(ctx, &provider)?;
            let of = (provider.kind.as_str(), &parameters);
            return remote::read(of, &options, &secret.key).await;
        }
    }
    if secret.own.value_sealed.is_empty() {
        return Ok(String::new());
    }
    let purpose = purpose(&secret.tenant_name, &secret.key);
    unsealed(ctx, &purpose, &secret.own.value_sealed)
}

/// The value of a secret: a text, or what its schema describes.
///
/// # Errors
/// As its text.
pub async fn value(
    ctx: &Context,
    view: &View,
    caller: &Caller,
    secret: &Secret,
) -> Result<Value, Error> {
    let text = text(ctx, view, caller, secret).await?;
    if secret.schema.is_some() {
        // what a provider gives need not be JSON
        return Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)));
    }
    Ok(Value::String(text))
}

/// Keys of the secrets that exist for the caller in a tenant.
///
/// # Errors
/// Database errors.
pub(crate) async fn existing(
    view: &View,
    caller: &Caller,
    tenant: &str,
) -> Result<HashSet<String>, Error> {
    let is = |field: &str, value: &str| Condition::AnyOf(field.to_owned(), vec![value.to_owned()]);
    let all = ListQuery::all(ViewName::Secrets, Scope::Everything).with(Condition::Or(vec![
        is("tenant_name", tenant),
        is("visibility", "global"),
    ]));
    let inside = caller.in_tenant(tenant);
    let mut keys = HashSet::new();
    for row in view.select(&all).await? {
        if inside.may_see(&row.owner) {
            keys.insert(row.resource::<Secret>()?.key);
        }
    }
    Ok(keys)
}

/// Opens secrets for functions that are evaluated on somebody's behalf.
#[derive(Debug, Clone, Copy)]
pub struct Opener<'a> {
    /// With what they are opened.
    pub ctx: &'a Context,
    /// For whom.
    pub caller: &'a Caller,
}

impl Opener<'_> {
    /// The value of the secret that a deployment of this tenant calls so; nothing when there is
    /// none. Executions need hidden values, people get nothing to see of those of others.
    ///
    /// # Errors
    /// Database errors, and as [`value`].
    pub(crate) async fn find(
        &self,
        view: &View,
        (tenant, key): (&str, &str),
    ) -> Result<Option<Value>, Error> {
        let inside = self.caller.in_tenant(tenant);
        let Some(row) = inside.find(view, MODEL.0, key).await? else {
            return Ok(None);
        };
        let secret: Secret = row.resource()?;
        if inside.execution.is_none() && !sees(view, &inside, &secret) {
            return Ok(Some(Value::from("")));
        }
        value(self.ctx, view, &inside, &secret).await.map(Some)
    }
}
