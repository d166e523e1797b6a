//! Snapshots: the whole manager at one position of the log, as one file.
use stratalog_projections::view::FOREVER;
use tokio_postgres::Client;

use crate::{error::Error, error::ErrorCode, files::Digest};

pub mod container;
pub mod export;
pub mod import;

/// Something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// So many more bytes were written or read.
    Bytes(u64),
    /// The restored log is verified up to a position.
    Verified(i64),
    /// The views are rebuilt up to a position.
    Rebuilt(i64),
}

/// Hears of what is done.
pub type Progress = Box<dyn Fn(Done) + Send + Sync>;

/// Whether any file of the resource directory, now or earlier, has this content.
///
/// # Errors
/// Database errors.
pub async fn is_content_of_files(client: &Client, digest: &Digest) -> Result<bool, Error> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {}.files WHERE doc::json->>'digest' = $1)",
        stratalog_projections::tables::LIVE
    );
    let found = client.query_one(&sql, &[&digest.to_string()]).await?;
    Ok(found.try_get(0)?)
}

/// Refuses a manager that holds more than what every new one does, and snapshots.
///
/// # Errors
/// 400; database errors.
pub async fn require_unused(client: &impl tokio_postgres::GenericClient) -> Result<(), Error> {
    let sql = format!(
        "SELECT what FROM ( \
           SELECT 'blueprints' AS what FROM {live}.blueprints WHERE valid_to = {FOREVER} \
           UNION ALL SELECT 'deployments' FROM {live}.deployments WHERE valid_to = {FOREVER} \
           UNION ALL SELECT 'executions' FROM {live}.executions WHERE valid_to = {FOREVER} \
             AND workflow_id NOT IN ('create_snapshot', 'restore_snapshot', 'create_log_bundle') \
           UNION ALL SELECT 'files' FROM {live}.files WHERE valid_to = {FOREVER} \
           UNION ALL SELECT 'users' FROM {live}.users WHERE valid_to = {FOREVER} AND key <> '{}' \
           UNION ALL SELECT 'tenants' FROM {live}.tenants \
             WHERE valid_to = {FOREVER} AND key <> '{}' \
         ) found LIMIT 1",
        crate::auth::ADMIN,
        crate::auth::DEFAULT_TENANT,
        live = stratalog_projections::tables::LIVE,
    );
    let Some(found) = client.query_opt(&sql, &[]).await? else {
        return Ok(());
    };
    let what: &str = found.try_get(0)?;
    Err(Error::refused(
        ErrorCode::SnapshotAction,
        format!(
            "A snapshot can only be restored into an empty manager, and this one has {what}. \
             With `force` everything on it is replaced"
        ),
    ))
}

/// What is wrong with a snapshot is told; what is wrong here is logged.
fn told(error: container::ContainerError) -> Error {
    match error {
        container::ContainerError::Files(_) | container::ContainerError::Io(_) => {
            Error::internal(error)
        }
        wrong => Error::refused(ErrorCode::SnapshotAction, wrong.to_string()),
    }
}
