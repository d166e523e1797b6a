//! The token with which workers speak for an execution. The log holds its digest, and the token
//! sealed under the manager's key: whoever takes an execution over goes on with the token that its
//! running operations have.
use rand::RngCore;
use sha2::{Digest, Sha256};
use stratalog_projections::views::executions::Execution;
use stratalog_schema::{Event, events::ExecutionTokenIssued};

use super::stream;
use crate::{context::Context, log::NewEvent};

/// Bytes of a token.
const TOKEN_LEN: usize = 16;

fn purpose(id: &str) -> String {
    format!("execution token {id}")
}

/// A new token for an execution of a tenant; the former one is void.
pub fn issue_token(ctx: &Context, tenant: &str, id: &str) -> (String, NewEvent) {
    let mut bytes = [0; TOKEN_LEN];
    rand::rng().fill_bytes(&mut bytes);
    let token = hex::encode(bytes);
    let event = ExecutionTokenIssued {
        id: id.to_owned(),
        tenant: tenant.to_owned(),
        token_sha256: hex::encode(Sha256::digest(&token)),
        sealed: ctx.sealer.seal(&purpose(id), &token),
    };
    (
        token,
        NewEvent::new(stream(tenant, id), Event::ExecutionTokenIssued(event)),
    )
}

/// The token an execution has, if this manager can open it.
pub fn clear_token(ctx: &Context, execution: &Execution) -> Option<String> {
    let sealed = hex::decode(execution.own.sealed_token.as_ref()?).ok()?;
    ctx.sealer.open(&purpose(&execution.id), &sealed).ok()
}
