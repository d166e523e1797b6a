//! `If-Match`: a change is made only to what its sender has seen. The tag of a resource is the
//! position since which it is what it is (RFC 9110, 13.1.1).
use http::{HeaderMap, header::IF_MATCH};
use stratalog_projections::View;

use crate::{
    error::Error,
    rest::{Request, Segment},
    store::Condition,
};

/// Resources that are answered with a tag, by the first segment of their paths.
const TAGGED: [(&str, View); 15] = [
    ("blueprints", View::Blueprints),
    ("deployment-groups", View::DeploymentGroups),
    ("deployment-modifications", View::DeploymentModifications),
    ("deployment-updates", View::DeploymentUpdates),
    ("deployments", View::Deployments),
    ("execution-groups", View::ExecutionGroups),
    ("executions", View::Executions),
    ("log-bundles", View::LogBundles),
    ("node-instances", View::NodeInstances),
    ("operations", View::Operations),
    ("plugins", View::Plugins),
    ("secrets", View::Secrets),
    ("secrets-providers", View::SecretsProviders),
    ("sites", View::Sites),
    ("snapshots", View::Snapshots),
];

/// The condition of a request, if it has one.
///
/// # Errors
/// 400 for tags that are none, and for what has no tag.
pub(super) fn asked(request: &Request) -> Result<Option<Condition>, Error> {
    let Some(since) = tags(&request.head.headers)? else {
        return Ok(None);
    };
    let target = target(&request.head.path);
    let target = target.ok_or_else(|| {
        Error::bad_parameters("If-Match: what the URL names is answered without an ETag")
    })?;
    Ok(Some(Condition {
        tenant: request.caller.tenant()?.to_owned(),
        target,
        since,
    }))
}

/// The resource that a path is about.
pub(super) fn target(path: &str) -> Option<(View, String)> {
    let mut segments = path.strip_prefix("/api/")?.split('/').skip(1);
    let (kind, id) = (segments.next()?, segments.next()?);
    let (_, view) = TAGGED.iter().find(|(name, _)| *name == kind)?;
    let Segment(id) = id.parse().ok()?;
    Some((*view, id))
}

/// The positions in the tags; within, nothing means that any will do.
fn tags(headers: &HeaderMap) -> Result<Option<Option<Vec<i64>>>, Error> {
    let bad = || Error::bad_parameters("If-Match: `*` or entity tags in quotes are expected");
    let mut since = None;
    for value in headers.get_all(IF_MATCH) {
        let text = value.to_str().map_err(|_| bad())?;
        let since = since.get_or_insert_with(Vec::new);
        for tag in text.split(',').map(str::trim) {
            if tag == "*" {
                return Ok(Some(None));
            }
            let weak = tag.strip_prefix("W/");
            let quoted = weak.unwrap_or(tag).strip_prefix('"');
            let opaque = quoted.and_then(|rest| rest.strip_suffix('"'));
            let position: Result<i64, _> = opaque.ok_or_else(bad)?.parse();
            // a weak tag, or one that is none of ours, matches nothing
            since.extend(position.ok().filter(|_| weak.is_none()));
        }
    }
    Ok(since.map(Some))
}

#[cfg(test)]
mod tests {
    //! What the header may say.
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&'static str]) -> Result<Option<Option<Vec<i64>>>, Error> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_MATCH, HeaderValue::from_static(value));
        }
        tags(&headers)
    }

    #[test]
    fn tags_are_positions_in_quotes() {
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&["*"]).unwrap(), Some(None));
        assert_eq!(of(&["\"5\""]).unwrap(), Some(Some(vec![5])));
        let several = of(&["\"5\", \"x\", W/\"7\"", "\"8\""]).unwrap();
        assert_eq!(several, Some(Some(vec![5, 8])));
        for text in ["", "5", "\"5", "\"5\",", "W/5"] {
            let mut headers = HeaderMap::new();
            headers.append(IF_MATCH, HeaderValue::from_str(text).unwrap());
            assert_eq!(tags(&headers).unwrap_err().status(), 400, "{text}");
        }
    }

    #[test]
    fn a_path_names_its_resource() {
        let found = target("/api/v3.1/deployments/a%20b/set-site").unwrap();
        assert_eq!(found, (View::Deployments, "a b".to_owned()));
        for path in [
            "/api/v3.1/deployments",
            "/api/v3.1/tokens/x",
            "/resources/x",
        ] {
            assert_eq!(target(path), None, "{path}");
        }
    }
}
