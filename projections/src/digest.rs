//! Digests of views: equal digests mean equal rows with equal history.
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use tokio_postgres::{GenericClient, types::ToSql};

use crate::{Error, view::View};

/// Lowercase hex SHA-256 over all versions of all rows, ordered by key and first position.
///
/// # Errors
/// Database errors.
pub async fn digest(
    client: &impl GenericClient,
    schema: &str,
    view: View,
) -> Result<String, Error> {
    let typed: String = view
        .def()
        .columns
        .iter()
        .map(|column| format!(", \"{}\"::text", column.name))
        .collect();
    let sql = format!(
        "SELECT key, valid_from::text, valid_to::text, born::text, tenant, visibility, \
         created_by, doc, hidden{typed} FROM {schema}.{} ORDER BY key COLLATE \"C\", valid_from",
        view.name()
    );
    let no_params: [&(dyn ToSql + Sync); 0] = [];
    let stream = client.query_raw(&sql, no_params).await?;
    futures::pin_mut!(stream);
    let mut hash = Sha256::new();
    while let Some(row) = stream.try_next().await? {
        for i in 0..row.len() {
            match row.try_get::<_, Option<&str>>(i)? {
                Some(text) => {
                    hash.update((text.len() as u64).to_be_bytes());
                    hash.update(text);
                }
                None => hash.update(u64::MAX.to_be_bytes()),
            }
        }
    }
    Ok(hex::encode(hash.finalize()))
}
