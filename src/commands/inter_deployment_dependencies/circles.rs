//! No deployment may depend on itself, by whatever detour.
use std::collections::BTreeSet;

use stratalog_schema::Category;

use super::{circle, stream, where_};
use crate::{
    error::Error,
    log::{Expected, read},
    store::{Decision, View},
};

/// Direct targets of any of some deployments.
///
/// # Errors
/// Database errors.
pub(super) async fn targets_of(
    view: &View,
    tenant: &str,
    sources: Vec<String>,
) -> Result<Vec<String>, Error> {
    let query = where_(tenant, ("source_deployment_id", sources));
    let rows = view.pick(&query, &["target_deployment_id"]).await?;
    let targets: BTreeSet<String> = rows
        .into_iter()
        .filter_map(|(_, mut values)| values.pop().flatten())
        .collect();
    Ok(targets.into_iter().collect())
}

/// Refuses targets that depend on their source. The decision rests on the dependencies of every
/// deployment that was passed on the way, so that of two who close a circle at the same moment one
/// is refused.
///
/// # Errors
/// 409; database errors.
pub(super) async fn refuse(
    view: &View,
    decision: &mut Decision,
    (tenant, source): (&str, &str),
    targets: &BTreeSet<String>,
) -> Result<(), Error> {
    if let Some(target) = targets.get(source) {
        return Err(circle(source, target));
    }
    for target in targets {
        let mut passed = BTreeSet::from([target.clone()]);
        let mut next = vec![target.clone()];
        while !next.is_empty() {
            rest_on(view, decision, tenant, &next).await?;
            next = targets_of(view, tenant, next).await?;
            if next.iter().any(|id| id == source) {
                return Err(circle(source, target));
            }
            next.retain(|id| passed.insert(id.clone()));
        }
    }
    Ok(())
}

async fn rest_on(
    view: &View,
    decision: &mut Decision,
    tenant: &str,
    sources: &[String],
) -> Result<(), Error> {
    let streams: Vec<_> = sources
        .iter()
        .map(|source| stream(tenant, Some(source)))
        .filter(|stream| decision.expected.iter().all(|(known, _)| known != stream))
        .collect();
    let keys: Vec<String> = streams.iter().map(|stream| stream.key.clone()).collect();
    let category = Category::InterDeploymentDependency;
    let versions = read::stream_versions(view, category, &keys).await?;
    for stream in streams {
        let version = versions.get(&stream.key).copied().unwrap_or(0);
        decision.expected.push((stream, Expected::Version(version)));
    }
    Ok(())
}
