//! The first entry of an empty log: the first user and tenant, the configuration, the provider
//! context.
use std::sync::Arc;

use rand::rng;
use serde_json::{Value, json};
use stratalog_schema::{
    Category, Event, Meta, StreamId,
    events::{ProviderContextSet, TenantCreated, TenantUserAdded, UserCreated},
};
use uuid::Uuid;

use super::{settings, tenants};
use crate::{
    auth::{ADMIN, DEFAULT_TENANT, Role, password},
    broker::admin,
    clock,
    context::Context,
    error::Error,
    store::{Decision, View},
};

/// Of several processes that start on an empty log only one makes the entry.
const COMMAND_ID: Uuid = Uuid::from_u128(0x5354_5241_5441_4c4f_8000_0000_0000_0001);

/// Makes the entry unless it is there.
///
/// # Errors
/// When the log is empty and no password for the first user is configured; database errors.
pub async fn bootstrap(ctx: &Context) -> Result<(), Error> {
    if ctx.directory.load().user(ADMIN).is_some() {
        return Ok(());
    }
    let password = ctx.settings.admin_password.as_ref().ok_or_else(|| {
        Error::internal(anyhow::anyhow!(
            "the log is empty: set admin_password (STRATALOG_ADMIN_PASSWORD), \
             which becomes the password of the user `{ADMIN}`"
        ))
    })?;
    password::check(&password.0)?;
    let password_hash = password::hash(password.0.clone()).await?;
    let broker_password = admin::generate_password(&mut rng());
    let defaults = settings::defaults(&ctx.settings)?;
    let created_at_ms = clock::now_ms();
    let decide = async |view: Arc<View>| {
        let view = &*view;
        let mut decision = Decision::nothing();
        if view.head() > 0 {
            return Ok((decision, ()));
        }
        let user = StreamId::global(Category::User, ADMIN);
        decision.event(
            user,
            Event::UserCreated(UserCreated {
                username: ADMIN.to_owned(),
                role: Role::SysAdmin.wire().to_owned(),
                password_hash: password_hash.clone(),
                created_at_ms,
            }),
        );
        let tenant = StreamId::global(Category::Tenant, DEFAULT_TENANT);
        let created = tenant_created(ctx, &broker_password);
        decision.event(tenant.clone(), Event::TenantCreated(created));
        decision.event(
            tenant,
            Event::TenantUserAdded(TenantUserAdded {
                tenant: DEFAULT_TENANT.to_owned(),
                username: ADMIN.to_owned(),
                role: Role::User.wire().to_owned(),
            }),
        );
        for (stream, set) in &defaults {
            decision.event(stream.clone(), Event::ConfigSet(set.clone()));
        }
        let context = ProviderContextSet {
            name: "provider".to_owned(),
            context_json: provider_context().to_string(),
        };
        decision.event(
            settings::context_stream(),
            Event::ProviderContextSet(context),
        );
        Ok((decision, ()))
    };
    ctx.store
        .command(&Meta::system(), Some(COMMAND_ID), decide)
        .await?;
    // whoever lost the race finds the winner's entry
    ctx.read_all().await
}

/// What plugins and agents look for in the provider context.
fn provider_context() -> Value {
    json!({"cloudify": {
        "policy_engine": {"start_timeout": 30},
        "import_resolver": {"parameters": {"rules": [], "fallback": true}},
        "cloudify_agent": {
            "broker_port": 5672, "min_workers": 2, "max_workers": 5, "heartbeat": 30, "log_level": "INFO",
        },
    }})
}

fn tenant_created(ctx: &Context, broker_password: &str) -> TenantCreated {
    tenants::created(&ctx.sealer, DEFAULT_TENANT, broker_password)
}
