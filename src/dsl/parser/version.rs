//! Versions of the language.

use crate::dsl::diagnostics::{Diagnostic, DslError, Exception};
use crate::dsl::yaml::Node;

/// A version of the language, ordered by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V1_0,
    V1_1,
    V1_2,
    V1_3,
    V1_4,
    V1_5,
}

impl Version {
    const ALL: [Self; 6] = [
        Self::V1_0,
        Self::V1_1,
        Self::V1_2,
        Self::V1_3,
        Self::V1_4,
        Self::V1_5,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1_0 => "cloudify_dsl_1_0",
            Self::V1_1 => "cloudify_dsl_1_1",
            Self::V1_2 => "cloudify_dsl_1_2",
            Self::V1_3 => "cloudify_dsl_1_3",
            Self::V1_4 => "cloudify_dsl_1_4",
            Self::V1_5 => "cloudify_dsl_1_5",
        }
    }

    /// As file names carry it: `1_4`.
    pub(crate) fn suffix(self) -> &'static str {
        self.name().trim_start_matches("cloudify_dsl_")
    }

    pub(crate) fn minor(self) -> u64 {
        match self {
            Self::V1_0 => 0,
            Self::V1_1 => 1,
            Self::V1_2 => 2,
            Self::V1_3 => 3,
            Self::V1_4 => 4,
            Self::V1_5 => 5,
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name() == name)
    }
}

/// The version the main file states, and the one section that only a main file has.
pub(crate) fn version_of_main(root: &Node, check_versions: bool) -> Result<Version, DslError> {
    let Some(sections) = root.as_map() else {
        let message = format!("the blueprint is {}", root.describe());
        return Err(Diagnostic::new(Exception::Format, 1, message)
            .at(root.mark.location())
            .expected("a map of sections")
            .into());
    };
    let Some(stated) = root
        .get("tosca_definitions_version")
        .filter(|node| !node.is_null())
    else {
        let message = "the blueprint does not state tosca_definitions_version".to_owned();
        return Err(Diagnostic::new(Exception::Logic, 27, message)
            .at(root.mark.location())
            .expected("cloudify_dsl_1_0 to cloudify_dsl_1_5")
            .into());
    };
    let path = ["tosca_definitions_version"];
    let Some(name) = stated.as_str() else {
        let message = format!("the version is {}", stated.describe());
        return Err(Diagnostic::new(Exception::Format, 1, message)
            .at(stated.mark.location())
            .path(path.into())
            .expected("a string")
            .into());
    };
    let Some(version) = Version::parse(name) else {
        let message = format!("'{name}' is not a version of the language");
        return Err(Diagnostic::new(Exception::Logic, 29, message)
            .at(stated.mark.location())
            .path(path.into())
            .expected("cloudify_dsl_1_0 to cloudify_dsl_1_5")
            .did_you_mean(name, Version::ALL.map(Version::name))
            .into());
    };
    if let Some(entry) = sections.get("dsl_definitions") {
        check_definitions(&entry.value, version, check_versions)?;
    }
    Ok(version)
}

fn check_definitions(node: &Node, version: Version, check_versions: bool) -> Result<(), DslError> {
    let diagnostic = if node.is_null() {
        return Ok(());
    } else if node.as_map().is_none() && node.as_list().is_none() {
        let message = format!("dsl_definitions is {}", node.describe());
        Diagnostic::new(Exception::Format, 1, message).expected("a map or a list")
    } else if check_versions && version < Version::V1_2 {
        let message = "dsl_definitions need cloudify_dsl_1_2".to_owned();
        Diagnostic::new(Exception::Logic, 102, message)
    } else {
        return Ok(());
    };
    Err(diagnostic
        .at(node.mark.location())
        .path(["dsl_definitions"].into())
        .into())
}
