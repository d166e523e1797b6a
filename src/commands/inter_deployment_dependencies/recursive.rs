//! Who depends on a deployment, directly or not.
use std::collections::BTreeSet;

use serde_json::{Value, json};
use stratalog_projections::views::inter_deployment_dependencies::{COMPONENT, SHARED_RESOURCE};

use super::of_target;
use crate::{error::Error, store::View};

/// All deployments that depend on one, with the nodes in which they do, nearest first.
///
/// # Errors
/// Database errors.
pub(crate) async fn dependents_of(
    view: &View,
    (tenant, id): (&str, &str),
) -> Result<Vec<Value>, Error> {
    let mut found = Vec::new();
    let mut passed = BTreeSet::from([id.to_owned()]);
    let mut next = vec![id.to_owned()];
    while let Some(target) = next.pop() {
        for one in of_target(view, (tenant, &target)).await? {
            let Some(source) = one.source_deployment_id else {
                continue;
            };
            if !passed.insert(source.clone()) {
                continue;
            }
            let creator = one.dependency_creator.as_str();
            let kind = match creator {
                _ if creator.starts_with(COMPONENT) => "component",
                _ if creator.starts_with(SHARED_RESOURCE) => "sharedresource",
                _ => "deployment",
            };
            found.push(json!({
                "deployment": source,
                "dependency_type": kind,
                "dependent_node": creator.split('.').nth(1),
                "tenant": tenant,
            }));
            next.insert(0, source);
        }
    }
    Ok(found)
}
