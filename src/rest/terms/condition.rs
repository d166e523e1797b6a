//! `If-Match`: a change is made only to what its sender has seen. The tag of a resource is the
//! position since which it is what it is (RFC 9110, 13.1.1).
use http::{HeaderMap, header::IF_MATCH};
use stratalog_projections::{View, views::cluster_nodes::ClusterNode};

use crate::{
    error::Error,
    rest::{Request, Segment},
    store::Condition,
};

/// Resources that are answered with a tag, by the first segment of their paths.
const TAGGED: [(&str, View, Naming); 23] = [
    ("agents", View::Agents, Naming::Tenant),
    ("blueprints", View::Blueprints, Naming::Tenant),
    ("brokers", View::ClusterNodes, Naming::Node("broker")),
    ("deployment-groups", View::DeploymentGroups, Naming::Tenant),
    (
        "deployment-modifications",
        View::DeploymentModifications,
        Naming::Tenant,
    ),
    (
        "deployment-updates",
        View::DeploymentUpdates,
        Naming::Tenant,
    ),
    ("deployments", View::Deployments, Naming::Tenant),
    ("execution-groups", View::ExecutionGroups, Naming::Tenant),
    ("execution-schedules", View::Schedules, Naming::Deployment),
    ("executions", View::Executions, Naming::Tenant),
    ("filters", View::Filters, Naming::Kind),
    ("log-bundles", View::LogBundles, Naming::Tenant),
    ("managers", View::ClusterNodes, Naming::Node("manager")),
    ("node-instances", View::NodeInstances, Naming::Tenant),
    ("operations", View::Operations, Naming::Tenant),
    ("plugins", View::Plugins, Naming::Tenant),
    ("secrets", View::Secrets, Naming::Tenant),
    ("secrets-providers", View::SecretsProviders, Naming::Tenant),
    ("sites", View::Sites, Naming::Tenant),
    ("snapshots", View::Snapshots, Naming::Tenant),
    ("tenants", View::Tenants, Naming::Manager),
    ("user-groups", View::UserGroups, Naming::Manager),
    ("users", View::Users, Naming::User),
];

/// Paths that look like one of a resource and name none.
const NONE: [&[&str]; 5] = [
    &["deployments", "inter-deployment-dependencies"],
    &["secrets", "share", "import"],
    &["tenants", "user-groups"],
    &["tenants", "users"],
    &["user-groups", "users"],
];

/// What a resource is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// Its id, in a tenant.
    Tenant,
    /// Its kind and its id, in a tenant: `filters/blueprints/x`.
    Kind,
    /// The deployment that the query names and its id, in a tenant.
    Deployment,
    /// Its name, in no tenant.
    Manager,
    /// The same, whatever its case; `users/active/x` is about `x`.
    User,
    /// Its name, as a node of the cluster of this kind.
    Node(&'static str),
}

/// The condition of a request, if it has one.
///
/// # Errors
/// 400 for tags that are none, and for what has no tag; 403 without the tenant it lies in.
pub(super) fn asked(request: &Request) -> Result<Option<Condition>, Error> {
    let Some(since) = tags(&request.head.headers)? else {
        return Ok(None);
    };
    let named = named(&request.head.path).ok_or_else(|| {
        Error::bad_parameters("If-Match: what the URL names is answered without an ETag")
    })?;
    let tenant = named.is_in_tenant().then(|| request.caller.tenant());
    let id = match named.naming {
        Naming::Deployment => {
            let deployment = request.query().required("deployment_id")?;
            format!("{deployment}/{}", named.id)
        }
        _ => named.id,
    };
    Ok(Some(Condition {
        tenant: tenant.transpose()?.map(str::to_owned),
        target: (named.view, id),
        since,
    }))
}

/// A resource that a path is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    view: View,
    naming: Naming,
    id: String,
}

impl Named {
    fn is_in_tenant(&self) -> bool {
        matches!(
            self.naming,
            Naming::Tenant | Naming::Kind | Naming::Deployment
        )
    }
}

/// The resource that a path is about.
pub(super) fn named(path: &str) -> Option<Named> {
    let segments: Vec<&str> = path.strip_prefix("/api/")?.split('/').skip(1).collect();
    if NONE.contains(&&*segments) {
        return None;
    }
    let (kind, rest) = segments.split_first()?;
    let (_, view, naming) = TAGGED.into_iter().find(|(name, ..)| name == kind)?;
    let decoded = |segment: &&str| segment.parse().ok().map(|Segment(text)| text);
    let first = decoded(rest.first()?)?;
    let id = match naming {
        Naming::Kind => format!("{first}/{}", decoded(rest.get(1)?)?),
        Naming::User => match rest.get(1) {
            Some(name) => decoded(name)?.to_lowercase(),
            None => first.to_lowercase(),
        },
        Naming::Node(node) => ClusterNode::key_of(node, &first),
        Naming::Tenant | Naming::Deployment | Naming::Manager => first,
    };
    Some(Named { view, naming, id })
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
        for (path, view, id) in [
            ("deployments/a%20b/set-site", View::Deployments, "a b"),
            ("filters/blueprints/f", View::Filters, "blueprints/f"),
            ("users/Ann", View::Users, "ann"),
            ("users/active/Ann", View::Users, "ann"),
            ("tenants/t1", View::Tenants, "t1"),
            ("brokers/b1", View::ClusterNodes, "broker/b1"),
        ] {
            let found = named(&format!("/api/v3.1/{path}")).unwrap();
            assert_eq!((found.view, found.id.as_str()), (view, id), "{path}");
        }
        for path in [
            "/api/v3.1/deployments",
            "/api/v3.1/deployments/inter-deployment-dependencies",
            "/api/v3.1/filters/blueprints",
            "/api/v3.1/tenants/users",
            "/api/v3.1/tokens/x",
            "/resources/x",
        ] {
            assert_eq!(named(path), None, "{path}");
        }
    }
}
