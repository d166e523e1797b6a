//! Secrets go from one manager to another: as a list of everything, values under a passphrase.
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use stratalog_projections::{StoredRow, views::secrets::Secret};
use stratalog_schema::{
    Event,
    events::{Scope, SecretChanged, SecretCreated},
};

use super::{
    MODEL, fernet::Fernet, is_open, open, options_purpose, provider_options, purpose, stream,
};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{blueprints, ids, visibility},
    context::Context,
    error::Error,
    store::{Decision, View},
};

/// The key is derived where nobody waits for the thread.
async fn fernet(passphrase: Option<&str>) -> Result<Option<Fernet>, Error> {
    let Some(passphrase) = passphrase.filter(|passphrase| !passphrase.is_empty()) else {
        return Ok(None);
    };
    let passphrase = passphrase.to_owned();
    let derived = tokio::task::spawn_blocking(move || Fernet::from_passphrase(&passphrase));
    derived.await.map(Some).map_err(Error::internal)
}

/// The secrets of these rows that are open to the caller, with their values.
///
/// # Errors
/// As values are opened.
pub async fn export(
    ctx: &Context,
    view: &View,
    caller: &Caller,
    (rows, passphrase, with_metadata): (&[StoredRow], Option<&str>, bool),
) -> Result<Vec<Value>, Error> {
    let fernet = fernet(passphrase).await?;
    let now_s = u64::try_from(clock::now_ms() / 1_000).unwrap_or_default();
    let shown = |text: String| match &fernet {
        Some(fernet) => fernet.encrypt(&text, now_s),
        None => text,
    };
    let mut exported = Vec::new();
    for row in rows {
        let secret: Secret = row.resource()?;
        if !open::sees(view, caller, &secret) {
            continue;
        }
        // what a provider knows is not taken from it
        let value = match secret.provider_name {
            Some(_) if secret.own.value_sealed.is_empty() => None,
            _ => Some(open::text(ctx, view, caller, &secret).await?),
        };
        let options = provider_options(ctx, &secret)?;
        let mut item = json!({
            "key": secret.key,
            "value": value.map(shown),
            "visibility": secret.visibility,
            "tenant_name": secret.tenant_name,
            "is_hidden_value": secret.is_hidden_value,
            "encrypted": fernet.is_some(),
            "provider": secret.provider_name,
            "provider_options": options.map(shown),
        });
        if let Some(members) = item.as_object_mut().filter(|_| with_metadata) {
            members.insert("creator".to_owned(), secret.created_by.into());
            members.insert("created_at".to_owned(), secret.created_at.into());
            members.insert("updated_at".to_owned(), secret.updated_at.into());
        }
        exported.push(item);
    }
    Ok(exported)
}

/// What is to be imported.
#[derive(Deserialize)]
pub struct Import {
    /// The secrets.
    pub secrets_list: Vec<Value>,
    /// Change those that are here already.
    pub override_collisions: bool,
    /// Tenant there to tenant here.
    #[serde(default)]
    pub tenant_map: Option<HashMap<String, String>>,
    /// Under which values were encrypted.
    #[serde(default)]
    pub passphrase: Option<String>,
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import").finish_non_exhaustive()
    }
}

/// What became of an import.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Keys that were here already, by tenant.
    pub colliding: BTreeMap<String, Vec<String>>,
    /// What is wrong with which secret of the list, by field.
    pub errors: Map<String, Value>,
}

/// A secret of the list that is in order.
struct Wanted {
    key: String,
    tenant: String,
    visibility: String,
    is_hidden_value: bool,
    value: Option<String>,
    provider: Option<String>,
    options: Option<String>,
}

type Faults = Map<String, Value>;

/// What an item says, or what is wrong with it.
fn wanted(item: &Value, import: &Import, fernet: Option<&Fernet>) -> Result<Wanted, Faults> {
    let mut faults = Faults::new();
    let mut fault = |field: &str, what: &str| {
        faults.insert(field.to_owned(), Value::from(what));
    };
    let given = |field: &str| item.get(field).filter(|value| !value.is_null());
    let text = |field: &str| given(field).and_then(Value::as_str).map(str::to_owned);
    let provider = text("provider").filter(|name| !name.is_empty());
    let needs_value = provider.is_none();
    for field in ["key", "visibility", "tenant_name"] {
        if text(field).is_none_or(|text| text.is_empty()) {
            fault(field, "Missing, or not a string");
        }
    }
    if text("value").is_none() && needs_value {
        fault("value", "Missing, or not a string");
    }
    for field in ["is_hidden_value", "encrypted"] {
        if given(field).and_then(flag).is_none() {
            fault(field, "Missing, or not a boolean");
        }
    }
    let is_encrypted = given("encrypted").and_then(flag).unwrap_or(false);
    let opened = |text: String| match (is_encrypted, fernet) {
        (false, _) => Some(text),
        (true, Some(fernet)) => fernet.decrypt(&text),
        (true, None) => None,
    };
    let value = text("value").map(opened);
    if is_encrypted && fernet.is_none() {
        fault(
            "encrypted",
            "The passphrase to decrypt the value is missing",
        );
    } else if value == Some(None) {
        fault("value", "It cannot be decrypted with this passphrase");
    }
    let key = text("key").unwrap_or_default();
    if !key.is_empty() && ids::check("key", &key).is_err() {
        fault("key", "Not a valid key");
    }
    let visibility = text("visibility").unwrap_or_default();
    if !["private", "tenant", "global", ""].contains(&visibility.as_str()) {
        fault("visibility", "Not a visibility");
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let named = text("tenant_name").unwrap_or_default();
    let mapped = import
        .tenant_map
        .as_ref()
        .and_then(|map| map.get(&named).cloned());
    // what other managers export is not always encrypted as a whole
    let options = text("provider_options").map(|given| opened(given.clone()).unwrap_or(given));
    Ok(Wanted {
        key,
        tenant: mapped.unwrap_or(named),
        visibility,
        is_hidden_value: given("is_hidden_value").and_then(flag).unwrap_or(false),
        value: value.flatten(),
        provider,
        options,
    })
}

/// Booleans arrive as such, and as texts.
fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Whether the caller may put a secret into its tenant, and let it be seen so widely.
fn refused(ctx: &Context, caller: &Caller, wanted: &Wanted) -> Option<Faults> {
    let fault =
        |field: &str, what: String| Some(Faults::from_iter([(field.to_owned(), what.into())]));
    let tenant = &wanted.tenant;
    if ctx.directory.load().tenant(tenant).is_none() {
        return fault("tenant_name", format!("The tenant {tenant} does not exist"));
    }
    let inside = caller.in_tenant(tenant);
    if !inside.may(Permission::SecretImport) || !inside.may(Permission::SecretCreate) {
        return fault(
            "tenant_name",
            format!("No permission to import into {tenant}"),
        );
    }
    match visibility::of_new(&inside, Some(&wanted.visibility), None) {
        Ok(_) => None,
        Err(error) => fault("visibility", error.to_string()),
    }
}

/// Takes secrets in; what is wrong with some does not keep the others out.
///
/// # Errors
/// 400 for a map to tenants that do not exist, 403.
pub async fn import(ctx: &Context, caller: &Caller, import: &Import) -> Result<Outcome, Error> {
    caller.require(Permission::SecretImport)?;
    for tenant in import.tenant_map.iter().flat_map(HashMap::values) {
        if ctx.directory.load().tenant(tenant).is_none() {
            return Err(Error::bad_parameters(format!(
                "The tenant map names the tenant `{tenant}`, which does not exist"
            )));
        }
    }
    let fernet = fernet(import.passphrase.as_deref()).await?;
    let mut errors = Map::new();
    let mut good = Vec::new();
    for (at, item) in import.secrets_list.iter().enumerate() {
        let faults = match wanted(item, import, fernet.as_ref()) {
            Ok(wanted) => match refused(ctx, caller, &wanted) {
                None => {
                    good.push(wanted);
                    continue;
                }
                Some(faults) => faults,
            },
            Err(faults) => faults,
        };
        errors.insert(at.to_string(), Value::Object(faults));
    }
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let mut decision = Decision::nothing();
        let mut outcome = Outcome {
            errors: errors.clone(),
            ..Outcome::default()
        };
        let mut seen = Vec::new();
        for wanted in &good {
            let of = (wanted.tenant.as_str(), wanted.key.as_str());
            let found = blueprints::namesakes(view, MODEL.0, of, &wanted.visibility).await?;
            let again = seen.contains(&of);
            seen.push(of);
            if found.is_empty() && !again {
                created(ctx, caller, (&mut decision, view), wanted).await?;
                continue;
            }
            let keys = outcome.colliding.entry(wanted.tenant.clone()).or_default();
            keys.push(wanted.key.clone());
            if !import.override_collisions || again {
                continue;
            }
            let own = found
                .iter()
                .find(|row| row.owner.tenant.as_deref() == Some(of.0));
            let Some(row) = own else { continue };
            let secret: Secret = row.resource()?;
            if is_open(caller, &secret) {
                overridden(ctx, (&mut decision, view), (&secret, wanted)).await?;
            }
        }
        Ok((decision, outcome))
    };
    let (_, outcome) = ctx.store.command(&caller.meta(), None, decide).await?;
    Ok(outcome)
}

fn sealed_options(ctx: &Context, wanted: &Wanted) -> Option<Vec<u8>> {
    let purpose = options_purpose(&wanted.tenant, &wanted.key);
    let options = wanted.options.as_ref()?;
    Some(ctx.sealer.seal(&purpose, options))
}

fn sealed_value(ctx: &Context, wanted: &Wanted) -> Option<Vec<u8>> {
    let purpose = purpose(&wanted.tenant, &wanted.key);
    let value = wanted.value.as_ref()?;
    Some(ctx.sealer.seal(&purpose, value))
}

async fn created(
    ctx: &Context,
    caller: &Caller,
    (decision, view): (&mut Decision, &View),
    wanted: &Wanted,
) -> Result<(), Error> {
    let of = stream(&wanted.tenant, &wanted.key);
    let now_ms = clock::now_ms();
    decision.rests_on(view, of.clone()).await?;
    let event = SecretCreated {
        key: wanted.key.clone(),
        scope: Some(Scope {
            tenant: wanted.tenant.clone(),
            visibility: wanted.visibility.clone(),
            created_by: caller.username.clone(),
        }),
        value_sealed: sealed_value(ctx, wanted).unwrap_or_default(),
        is_hidden_value: wanted.is_hidden_value,
        schema_json: None,
        provider_name: wanted.provider.clone(),
        provider_options_sealed: sealed_options(ctx, wanted),
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
    };
    decision.event(of, Event::SecretCreated(event));
    Ok(())
}

async fn overridden(
    ctx: &Context,
    (decision, view): (&mut Decision, &View),
    (secret, wanted): (&Secret, &Wanted),
) -> Result<(), Error> {
    let of = stream(&wanted.tenant, &wanted.key);
    let is_wider = visibility::is_wider(&wanted.visibility, &secret.visibility);
    decision.rests_on(view, of.clone()).await?;
    let event = SecretChanged {
        key: wanted.key.clone(),
        tenant: wanted.tenant.clone(),
        updated_at_ms: clock::now_ms(),
        value_sealed: sealed_value(ctx, wanted),
        is_hidden_value: Some(wanted.is_hidden_value),
        visibility: is_wider.then(|| wanted.visibility.clone()),
        provider_name: Some(wanted.provider.clone().unwrap_or_default()),
        provider_options_sealed: Some(sealed_options(ctx, wanted).unwrap_or_default()),
        ..SecretChanged::default()
    };
    decision.event(of, Event::SecretChanged(event));
    Ok(())
}
