//! Secrets are made, changed and deleted.
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_projections::views::{
    secrets::Secret, secrets_providers::SecretsProvider, users::User,
};
use stratalog_schema::{
    Event,
    events::{Scope, SecretChanged, SecretCreated, SecretDeleted},
};

use super::{MODEL, PROVIDER, fitting, options_purpose, purpose, require_open, stream, text};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{blueprints, ids, visibility},
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// A secret somebody asks for.
#[derive(Deserialize)]
pub struct NewSecret {
    /// Its value; may be null only with a provider.
    pub value: Value,
    /// JSON schema of the value.
    #[serde(default)]
    pub schema: Option<Map<String, Value>>,
    /// The provider that knows the value.
    #[serde(default)]
    pub provider_name: Option<String>,
    /// What that needs to know.
    #[serde(default)]
    pub provider_options: Option<Map<String, Value>>,
    /// Change it if it is there.
    #[serde(default)]
    pub update_if_exists: Option<bool>,
    /// Whether only its creator and administrators see the value.
    #[serde(default)]
    pub is_hidden_value: Option<bool>,
    /// `private`, `tenant` or `global`.
    #[serde(default)]
    pub visibility: Option<String>,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSecret").finish_non_exhaustive()
    }
}

/// What is to change of a secret. What is absent stays.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct UpdateSecret {
    /// Another value.
    pub value: Option<Value>,
    /// Whether only its creator and administrators see the value.
    pub is_hidden_value: Option<bool>,
    /// `tenant` or `global`.
    pub visibility: Option<String>,
    /// Another creator.
    pub creator: Option<String>,
    /// Another provider.
    pub provider_name: Option<String>,
    /// What that needs to know.
    pub provider_options: Option<Map<String, Value>>,
}

impl std::fmt::Debug for UpdateSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpdateSecret").finish_non_exhaustive()
    }
}

impl UpdateSecret {
    fn is_empty(&self) -> bool {
        self.value.is_none()
            && self.is_hidden_value.is_none()
            && self.visibility.is_none()
            && self.creator.is_none()
            && self.provider_name.is_none()
            && self.provider_options.is_none()
    }
}

/// Options for a provider as they are sealed; none when there is nothing in them.
fn sealed_options(
    ctx: &Context,
    of: (&str, &str),
    options: Option<&Map<String, Value>>,
) -> Option<Vec<u8>> {
    let options = options.filter(|options| !options.is_empty())?;
    let text = Value::Object(options.clone()).to_string();
    Some(ctx.sealer.seal(&options_purpose(of.0, of.1), &text))
}

async fn require_provider(view: &View, caller: &Caller, name: &str) -> Result<(), Error> {
    let row = caller.get(view, PROVIDER, name).await?;
    row.resource::<SecretsProvider>()?;
    Ok(())
}

/// Creates a secret, or gives an existing one another value where that is asked for.
///
/// # Errors
/// 400 for a key, schema or value that is none, 403, 404 for a provider, 409 when it exists or the
/// value does not fit the schema.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    key: &str,
    new: &NewSecret,
) -> Result<(), Error> {
    caller.require(Permission::SecretCreate)?;
    ids::check("key", key)?;
    let has_provider = new
        .provider_name
        .as_deref()
        .is_some_and(|name| !name.is_empty());
    let is_empty = new.value.is_null() || new.value == "";
    if is_empty && !has_provider {
        return Err(Error::bad_parameters(format!(
            "Cannot create a secret with empty value or provider: {key}"
        )));
    }
    let schema = new.schema.clone().map(Value::Object);
    let value = match (&schema, is_empty) {
        (_, true) => None,
        (Some(schema), false) => Some(fitting(key, schema, &new.value)?),
        (None, false) => Some(text(key, &new.value)?),
    };
    let visibility = visibility::of_new(caller, new.visibility.as_deref(), None)?;
    let tenant = caller.tenant()?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        if let Some(provider) = new.provider_name.as_deref().filter(|_| has_provider) {
            require_provider(view, caller, provider).await?;
        }
        let mut decision = Decision::nothing();
        let others = blueprints::namesakes(view, MODEL.0, (tenant, key), &visibility).await?;
        if let Some(row) = others.first() {
            let is_update = new.update_if_exists.unwrap_or(false) && caller.may_see(&row.owner);
            if !is_update {
                return Err(taken(tenant, key));
            }
            let secret: Secret = row.resource()?;
            again(ctx, caller, (&mut decision, view), (&secret, new)).await?;
            return Ok((decision, ()));
        }
        decision.rests_on(view, stream(tenant, key)).await?;
        let now_ms = clock::now_ms();
        let sealed = value
            .as_ref()
            .map(|value| ctx.sealer.seal(&purpose(tenant, key), value));
        let event = SecretCreated {
            key: key.to_owned(),
            scope: Some(Scope {
                tenant: tenant.to_owned(),
                visibility: visibility.clone(),
                created_by: caller.username.clone(),
            }),
            value_sealed: sealed.unwrap_or_default(),
            is_hidden_value: new.is_hidden_value.unwrap_or(false),
            schema_json: schema.as_ref().map(Value::to_string),
            provider_name: new.provider_name.clone().filter(|name| !name.is_empty()),
            provider_options_sealed: sealed_options(
                ctx,
                (tenant, key),
                new.provider_options.as_ref(),
            ),
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
        };
        decision.event(stream(tenant, key), Event::SecretCreated(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

fn taken(tenant: &str, key: &str) -> Error {
    Error::exists(&format!("Secret id=`{key}`"), (tenant, tenant))
}

/// A secret that is created again gets the value and the options only.
async fn again(
    ctx: &Context,
    caller: &Caller,
    (decision, view): (&mut Decision, &View),
    (secret, new): (&Secret, &NewSecret),
) -> Result<(), Error> {
    let change = UpdateSecret {
        value: Some(new.value.clone()).filter(|value| !value.is_null()),
        provider_options: new.provider_options.clone(),
        ..UpdateSecret::default()
    };
    changed(ctx, caller, (decision, view), (secret, &change)).await
}

/// Adds the change of a secret to a decision.
pub(super) async fn changed(
    ctx: &Context,
    caller: &Caller,
    (decision, view): (&mut Decision, &View),
    (secret, change): (&Secret, &UpdateSecret),
) -> Result<(), Error> {
    let (tenant, key) = (secret.tenant_name.as_str(), secret.key.as_str());
    visibility::require_own(caller, key, tenant)?;
    require_open(caller, secret)?;
    let mut event = SecretChanged {
        key: key.to_owned(),
        tenant: tenant.to_owned(),
        updated_at_ms: clock::now_ms(),
        is_hidden_value: change.is_hidden_value,
        created_by: change.creator.clone(),
        ..SecretChanged::default()
    };
    if let Some(value) = &change.value {
        let kept = match &secret.schema {
            Some(schema) => {
                let schema = serde_json::from_str(schema.get()).map_err(Error::internal)?;
                fitting(key, &schema, value)?
            }
            None => text(key, value)?,
        };
        event.value_sealed = Some(ctx.sealer.seal(&purpose(tenant, key), &kept));
    }
    if let Some(wanted) = &change.visibility
        && visibility::change(caller, (key, &secret.visibility), wanted)?
    {
        refuse_elsewhere(view, (tenant, key), wanted).await?;
        event.visibility = Some(wanted.clone());
    }
    if let Some(creator) = &change.creator {
        let user = view.get::<User>(&creator.to_lowercase()).await?;
        user.ok_or_else(|| Error::not_found("User", creator))?;
    }
    if let Some(provider) = &change.provider_name {
        if !provider.is_empty() {
            require_provider(view, caller, provider).await?;
        }
        event.provider_name = Some(provider.clone());
    }
    if let Some(options) = change
        .provider_options
        .as_ref()
        .filter(|map| !map.is_empty())
    {
        event.provider_options_sealed = sealed_options(ctx, (tenant, key), Some(options));
    }
    decision.rests_on(view, stream(tenant, key)).await?;
    decision.event(stream(tenant, key), Event::SecretChanged(event));
    Ok(())
}

/// What becomes global must be the only one of its key.
async fn refuse_elsewhere(view: &View, of: (&str, &str), wanted: &str) -> Result<(), Error> {
    let all = blueprints::namesakes(view, MODEL.0, of, wanted).await?;
    if all.len() <= 1 {
        return Ok(());
    }
    Err(taken(of.0, of.1))
}

/// Changes a secret.
///
/// # Errors
/// 400 for nothing to change or a narrower visibility, 403, 404, 409 for a value that does not fit
/// the schema.
pub async fn update(
    ctx: &Context,
    caller: &Caller,
    key: &str,
    change: &UpdateSecret,
) -> Result<(), Error> {
    caller.require(Permission::SecretUpdate)?;
    if change.is_empty() {
        return Err(Error::refused(
            ErrorCode::IllegalAction,
            "Update secret must include at least one parameter to update",
        ));
    }
    if change.creator.is_some() {
        caller.require(Permission::SetOwner)?;
    }
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let secret: Secret = caller.get(view, MODEL, key).await?.resource()?;
        let mut decision = Decision::nothing();
        changed(ctx, caller, (&mut decision, view), (&secret, change)).await?;
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}

/// Widens the visibility of a secret.
///
/// # Errors
/// As [`update`].
pub async fn set_visibility(
    ctx: &Context,
    caller: &Caller,
    key: &str,
    wanted: &str,
) -> Result<(), Error> {
    let change = UpdateSecret {
        visibility: Some(wanted.to_owned()),
        ..UpdateSecret::default()
    };
    update(ctx, caller, key, &change).await
}

/// Deletes a secret.
///
/// # Errors
/// 400 for a global one of another tenant, 403, 404.
pub async fn delete(ctx: &Context, caller: &Caller, key: &str) -> Result<(), Error> {
    caller.require(Permission::SecretDelete)?;
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let secret: Secret = caller.get(view, MODEL, key).await?.resource()?;
        visibility::require_own(caller, key, &secret.tenant_name)?;
        require_open(caller, &secret)?;
        let of = stream(&secret.tenant_name, key);
        let mut decision = Decision::nothing();
        decision.rests_on(view, of.clone()).await?;
        let event = SecretDeleted {
            key: key.to_owned(),
            tenant: secret.tenant_name,
        };
        decision.event(of, Event::SecretDeleted(event));
        Ok((decision, ()))
    };
    ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(())
}
