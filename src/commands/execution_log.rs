//! Log lines that the manager writes into an execution, in the same append as the change they speak
//! of.
use stratalog_projections::views::executions::Execution;
use stratalog_schema::events::TelemetryRecord;
use uuid::Uuid;

use crate::clock;

/// What the manager calls itself among its records.
const MANAGER: &str = "cloudify-manager";

/// A line of level `info`.
pub(crate) fn info(execution: &Execution, message: impl Into<String>) -> TelemetryRecord {
    line(execution, "info", message.into())
}

/// A line of level `warning`.
pub(crate) fn warning(execution: &Execution, message: impl Into<String>) -> TelemetryRecord {
    line(execution, "warning", message.into())
}

fn line(execution: &Execution, level: &str, message: String) -> TelemetryRecord {
    let now_us = clock::now_us();
    TelemetryRecord {
        event_id: Uuid::now_v7().as_bytes().to_vec(),
        tenant: execution.tenant_name.clone(),
        visibility: execution.visibility.clone(),
        created_by: execution.created_by.clone(),
        is_log: true,
        timestamp_us: now_us,
        reported_timestamp_us: now_us,
        execution_id: execution.id.clone(),
        deployment_id: execution.deployment_id.clone().unwrap_or_default(),
        deployment_display_name: execution
            .deployment_display_name
            .clone()
            .unwrap_or_default(),
        blueprint_id: execution.blueprint_id.clone().unwrap_or_default(),
        workflow_id: execution.workflow_id.clone(),
        message,
        logger: format!("ctx.{}", execution.id),
        level: level.to_owned(),
        manager_name: Some(MANAGER.to_owned()),
        ..TelemetryRecord::default()
    }
}
