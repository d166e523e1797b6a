//! Secrets as searches show them.
use stratalog_projections::StoredRow;

use super::appended;

/// The documents of these rows, in their order; values stay where they are.
pub(in crate::rest) fn without_values(rows: &[StoredRow]) -> Vec<String> {
    let nothing = r#""value":"","provider_options":null"#;
    rows.iter().map(|row| appended(&row.doc, nothing)).collect()
}
