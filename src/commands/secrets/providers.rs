//! Providers of secrets: made, changed, deleted, tried.
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, ListQuery, Scope as Rows, View as ViewName,
    views::{secrets::Secret, secrets_providers::SecretsProvider},
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{Scope, SecretsProviderChanged, SecretsProviderCreated, SecretsProviderDeleted},
};

use super::remote;
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{blueprints, ids, labels, visibility},
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// How the resource is called in messages.
pub const PROVIDER: (ViewName, &str) = (ViewName::SecretsProviders, "SecretsProvider");

fn stream(tenant: &str, name: &str) -> StreamId {
    StreamId::scoped(Category::SecretsProvider, tenant, name)
}

fn purpose(tenant: &str, name: &str) -> String {
    format!("connection parameters of secrets provider {name} of tenant {tenant}")
}

/// A provider somebody asks for.
#[derive(Deserialize)]
pub struct NewProvider {
    /// Its name.
    pub name: String,
    /// `local`, `vault` or `cloudify`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How to reach it.
    #[serde(default)]
    pub connection_parameters: Option<Map<String, Value>>,
    /// `private`, `tenant` or `global`.
    #[serde(default)]
    pub visibility: Option<String>,
    /// Creation of a restored one.
    #[serde(default)]
    pub created_at: Option<Value>,
    /// Creator of a restored one.
    #[serde(default)]
    pub created_by: Option<String>,
    /// Only try whether it can be reached.
    #[serde(default)]
    pub test: Option<bool>,
}

impl std::fmt::Debug for NewProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewProvider").finish_non_exhaustive()
    }
}

/// What is to change of a provider. What is absent stays.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct UpdateProvider {
    /// Another type.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// How to reach it.
    pub connection_parameters: Option<Map<String, Value>>,
    /// `tenant` or `global`.
    pub visibility: Option<String>,
}

impl std::fmt::Debug for UpdateProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpdateProvider").finish_non_exhaustive()
    }
}

fn check_kind(kind: &str) -> Result<(), Error> {
    if remote::KINDS.contains(&kind) {
        return Ok(());
    }
    Err(Error::bad_parameters(format!(
        "Invalid provider type: {kind}. Valid types are: {}",
        remote::KINDS.join(", ")
    )))
}

fn sealed(ctx: &Context, of: (&str, &str), parameters: &Map<String, Value>) -> Vec<u8> {
    let text = Value::Object(parameters.clone()).to_string();
    ctx.sealer.seal(&purpose(of.0, of.1), &text)
}

/// How to reach a provider.
///
/// # Errors
/// `Internal` when that was sealed under another key.
pub fn connection_parameters(
    ctx: &Context,
    provider: &SecretsProvider,
) -> Result<Map<String, Value>, Error> {
    let Some(sealed) = &provider.own.connection_parameters_sealed else {
        return Ok(Map::new());
    };
    let bytes = hex::decode(sealed).map_err(Error::internal)?;
    let purpose = purpose(&provider.tenant_name, &provider.name);
    let text = ctx.sealer.open(&purpose, &bytes).map_err(Error::internal)?;
    serde_json::from_str(&text).map_err(Error::internal)
}

/// Creates a provider; or only tries whether it can be reached, and gives false then.
///
/// # Errors
/// 400 for a name or type that is none or one that cannot be reached, 403, 409 when it exists.
pub async fn create(ctx: &Context, caller: &Caller, new: &NewProvider) -> Result<bool, Error> {
    caller.require(Permission::SecretsProviderCreate)?;
    let name = new.name.as_str();
    ids::check("name", name)?;
    check_kind(&new.kind)?;
    let none = Map::new();
    let parameters = new.connection_parameters.as_ref().unwrap_or(&none);
    remote::check((&new.kind, parameters))?;
    if new.test.unwrap_or(false) {
        remote::try_out((&new.kind, parameters)).await?;
        return Ok(false);
    }
    let visibility = visibility::of_new(caller, new.visibility.as_deref(), None)?;
    let created_at = new.created_at.as_ref().map(labels::moment).transpose()?;
    if created_at.flatten().is_some() {
        caller.require(Permission::SetTimestamp)?;
    }
    if new.created_by.is_some() {
        caller.require(Permission::SetOwner)?;
    }
    let tenant = caller.tenant()?;
    let event = SecretsProviderCreated {
        name: name.to_owned(),
        scope: Some(Scope {
            tenant: tenant.to_owned(),
            visibility: visibility.clone(),
            created_by: new.created_by.as_ref().unwrap_or(&caller.username).clone(),
        }),
        r#type: new.kind.clone(),
        connection_parameters_sealed: (!parameters.is_empty())
            .then(|| sealed(ctx, (tenant, name), parameters)),
        created_at_ms: created_at.flatten().unwrap_or_else(clock::now_ms),
    };
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let others = blueprints::namesakes(view, PROVIDER.0, (tenant, name), &visibility).await?;
        if !others.is_empty() {
            let what = format!("SecretsProvider name=`{name}`");
            return Err(Error::exists(&what, (tenant, tenant)));
        }
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(tenant, name)).await?;
        let event = Event::SecretsProviderCreated(event.clone());
        decision.event(stream(tenant, name), event);
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(true)
}

/// Changes a provider.
///
/// # Errors
/// 400 for a type that is none or a narrower visibility, 403, 404.
pub async fn update(
    ctx: &Context,
    caller: &Caller,
    name: &str,
    change: &UpdateProvider,
) -> Result<(), Error> {
    caller.require(Permission::SecretsProviderUpdate)?;
    change.kind.as_deref().map(check_kind).transpose()?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let provider: SecretsProvider = caller.get(view, PROVIDER, name).await?.resource()?;
        let tenant = provider.tenant_name.as_str();
        visibility::require_own(caller, name, tenant)?;
        let before = connection_parameters(ctx, &provider)?;
        let parameters = change.connection_parameters.as_ref();
        let kind = change.kind.as_deref().unwrap_or(&provider.kind);
        remote::check((kind, parameters.unwrap_or(&before)))?;
        let wider = match change.visibility.as_deref() {
            Some(wanted) => visibility::change(caller, (name, &provider.visibility), wanted)?,
            None => false,
        };
        let event = SecretsProviderChanged {
            name: name.to_owned(),
            tenant: tenant.to_owned(),
            updated_at_ms: clock::now_ms(),
            r#type: change.kind.clone(),
            connection_parameters_sealed: parameters
                .map(|given| sealed(ctx, (tenant, name), given)),
            visibility: change.visibility.clone().filter(|_| wider),
        };
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(tenant, name)).await?;
        decision.event(stream(tenant, name), Event::SecretsProviderChanged(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

/// Deletes a provider that no secret needs.
///
/// # Errors
/// 400 while secrets need it, 403, 404.
pub async fn delete(ctx: &Context, caller: &Caller, name: &str) -> Result<(), Error> {
    caller.require(Permission::SecretsProviderDelete)?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let provider: SecretsProvider = caller.get(view, PROVIDER, name).await?.resource()?;
        let tenant = provider.tenant_name.as_str();
        visibility::require_own(caller, name, tenant)?;
        let needing = ListQuery::all(ViewName::Secrets, Rows::Everything).with(Condition::AnyOf(
            "provider_name".to_owned(),
            vec![name.to_owned()],
        ));
        let secrets: Vec<Secret> = view.select_as(&needing).await?;
        let is_needed = secrets
            .iter()
            .any(|secret| provider.visibility == "global" || secret.tenant_name == tenant);
        if is_needed {
            return Err(Error::refused(
                ErrorCode::IllegalAction,
                format!("The secrets provider `{name}` is used by secrets"),
            ));
        }
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(tenant, name)).await?;
        let event = SecretsProviderDeleted {
            name: name.to_owned(),
            tenant: tenant.to_owned(),
        };
        decision.event(stream(tenant, name), Event::SecretsProviderDeleted(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}
