//! Paths: what is refused, what is canonical, who owns it.
#![allow(clippy::unwrap_used, reason = "tests")]
use proptest::prelude::*;

use super::*;

#[test]
fn refuses_what_could_leave_the_root() {
    let long_segment = "a".repeat(256);
    let deep = vec!["a"; 65].join("/");
    let long = vec!["abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"; 20].join("/");
    let table = [
        ("", PathError::Empty),
        ("/etc/passwd", PathError::Absolute),
        ("a//b", PathError::EmptySegment),
        ("a/", PathError::EmptySegment),
        ("..", PathError::Relative),
        ("a/../b", PathError::Relative),
        ("./a", PathError::Relative),
        ("a\\..\\b", PathError::Character),
        ("a\0b", PathError::Character),
        ("a\nb", PathError::Character),
        ("a\u{85}b", PathError::Character),
        (long_segment.as_str(), PathError::TooLong),
        (deep.as_str(), PathError::TooLong),
        (long.as_str(), PathError::TooLong),
    ];
    for (text, expected) in table {
        assert_eq!(ResourcePath::parse(text), Err(expected), "{text:?}");
    }
}

#[test]
fn decodes_urls_exactly_once() {
    let ok = |raw: &str| {
        let requested = ResourcePath::from_url(raw).unwrap();
        (requested.path.as_str().to_owned(), requested.is_directory)
    };
    assert_eq!(
        ok("blueprints/t/b/a%20b.yaml"),
        ("blueprints/t/b/a b.yaml".into(), false)
    );
    assert_eq!(ok("%62lueprints/t"), ("blueprints/t".into(), false));
    assert_eq!(ok("a/%2541"), ("a/%41".into(), false));
    assert_eq!(ok("//a///b//"), ("a/b".into(), true));
    let refused = [
        ("a/%2e%2e/b", PathError::Relative),
        ("a/..", PathError::Relative),
        ("a%2fb", PathError::Character),
        ("a/%5c", PathError::Character),
        ("a/%00", PathError::Character),
        ("a/%zz", PathError::Encoding),
        ("a/%4", PathError::Encoding),
        ("a/%ff", PathError::Encoding),
        ("", PathError::Empty),
        ("///", PathError::Empty),
    ];
    for (raw, expected) in refused {
        assert_eq!(
            ResourcePath::from_url(raw).map(|r| r.path),
            Err(expected),
            "{raw:?}"
        );
    }
}

#[test]
fn first_segment_decides_and_the_rest_is_denied() {
    let class = |text: &str| format!("{:?}", ResourcePath::parse(text).unwrap().class());
    assert_eq!(
        class("blueprints/acme/bp/a.yaml"),
        r#"Tenant { area: Blueprints, tenant: "acme", item: Some("bp") }"#
    );
    assert_eq!(
        class("tenant-resources/acme"),
        r#"Tenant { area: TenantResources, tenant: "acme", item: None }"#
    );
    assert_eq!(class("plugins/42/p.wgn"), r#"Plugin { id: "42" }"#);
    assert_eq!(class("snapshots/s1/s1.zip"), r#"Snapshot { id: "s1" }"#);
    assert_eq!(class("log_bundles/l1.zip"), r#"LogBundle { id: "l1" }"#);
    assert_eq!(class("packages/agents/x.tar.gz"), "Shared");
    assert_eq!(class("cloudify_agent/x.tar.gz"), "Public");
    for denied in [
        "blueprints",
        "blueprints-evil/acme/x",
        "Blueprints/acme/x",
        "uploaded-blueprints/.uploading/acme",
        "deployments/.hidden/x",
        "snapshots",
        "plugins",
        "authenticators/x",
        "secret",
        "packages",
    ] {
        assert_eq!(class(denied), "Denied", "{denied}");
    }
}

#[test]
fn lies_within_by_whole_segments_only() {
    let path = |text: &str| ResourcePath::parse(text).unwrap();
    assert_eq!(path("a/b/c").below(&path("a/b")), Some("c"));
    assert!(path("a/b").is_within(&path("a/b")));
    assert!(!path("a/bc").is_within(&path("a/b")));
    assert_eq!(path("a/b").join("c/d").unwrap(), path("a/b/c/d"));
    assert!(path("a/b").join("../c").is_err());
    assert!(path("a/b").join("/c").is_err());
}

proptest! {
    /// Whatever is accepted comes back the same through its URL.
    #[test]
    fn url_round_trip(text in "\\PC{1,40}(/\\PC{1,20}){0,4}") {
        if let Ok(path) = ResourcePath::parse(&text) {
            let requested = ResourcePath::from_url(&path.to_url()).unwrap();
            prop_assert_eq!(&requested.path, &path);
            prop_assert!(!requested.is_directory);
            let uri = format!("/resources/{}", path.to_url()).parse::<http::Uri>();
            prop_assert!(uri.is_ok(), "{:?}", uri);
        }
    }

    /// No accepted path leaves the directory it is joined to.
    #[test]
    fn never_leaves_its_root(raw in "([a.%/\\\\2ef\u{0}-]|\\.\\.|%2e|%2f|/){1,24}") {
        if let Ok(requested) = ResourcePath::from_url(&raw) {
            let root = std::path::Path::new("/srv/root");
            let full = root.join(requested.path.as_str());
            prop_assert!(full.starts_with(root));
            let normal = full.components().all(|c| {
                matches!(c, std::path::Component::Normal(_) | std::path::Component::RootDir)
            });
            prop_assert!(normal, "{:?}", full);
        }
    }
}
