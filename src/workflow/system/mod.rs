//! Workflows the manager runs itself: they have no graph, and begin anew after a restart.
mod environment;

use stratalog_projections::views::executions::Execution;

use crate::{
    auth::Caller,
    commands::{blueprints, deployment_updates, deployments, log_bundles, snapshots},
    context::Context,
    error::{Error, ErrorCode},
};

/// Runs a workflow that no deployment declares.
///
/// # Errors
/// What the execution fails with; trouble that may pass is tried again.
pub(super) async fn run(ctx: &Context, execution: &Execution) -> Result<(), Error> {
    let tenant = &execution.tenant_name;
    let caller = Caller::system(tenant).for_execution(&execution.id, tenant);
    match execution.workflow_id.as_str() {
        "upload_blueprint" => blueprints::process_upload(ctx, &caller, execution).await,
        "create_deployment_environment" => {
            deployments::create_environment(ctx, &caller, execution).await
        }
        "delete_deployment_environment" => environment::delete(ctx, &caller, execution).await,
        "create_snapshot" => snapshots::make(ctx, &caller, execution).await,
        "create_log_bundle" => log_bundles::make(ctx, &caller, execution).await,
        "csys_update_deployment" => {
            let caller = caller.on_behalf_of(&execution.created_by);
            deployment_updates::initiate_own(ctx, &caller, execution).await?;
            Ok(())
        }
        "restore_snapshot" => snapshots::restore(ctx, execution).await,
        other => Err(unknown(other)),
    }
}

/// The error of a workflow that cannot be run here.
fn unknown(workflow_id: &str) -> Error {
    Error::refused(
        ErrorCode::NonexistentWorkflow,
        format!("The workflow {workflow_id} is not available in this version of the manager"),
    )
}
