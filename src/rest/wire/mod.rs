//! Documents as clients see them: the stored ones, with what is joined on reading appended.
pub(super) mod blueprints;
pub(super) mod deployments;
pub(super) mod groups;
pub(super) mod nodes;
pub(super) mod schedules;
pub(super) mod secrets;
pub(super) mod users;
pub(super) mod workflows;

use stratalog_projections::StoredRow;

/// A stored document with further members at its end.
fn appended(document: &str, members: &str) -> String {
    let open = document.strip_suffix('}').unwrap_or(document);
    let mut text = String::with_capacity(open.len() + members.len() + 2);
    text.push_str(open);
    text.push(',');
    text.push_str(members);
    text.push('}');
    text
}

/// The tenant a row belongs to.
fn tenant_of(row: &StoredRow) -> &str {
    row.owner.tenant.as_deref().unwrap_or_default()
}

/// The part of a row's key behind its tenant.
fn id_of(row: &StoredRow) -> &str {
    row.key.split_once('/').map_or(&row.key, |(_, id)| id)
}
