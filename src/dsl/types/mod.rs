//! The built-in types: what `cloudify/types/types.yaml` brings, for each version of the language.

use std::sync::{Arc, LazyLock};

use super::yaml::{self, Limits, Node};

/// One of the built-in type files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    V1_3,
    V1_4,
    /// For every other version.
    Latest,
}

impl BuiltIn {
    /// The path blueprints import it by.
    pub const PATH: &'static str = "cloudify/types/types.yaml";

    /// The file for a language version as file names carry it: `1_4`.
    pub fn for_version(version: &str) -> Self {
        match version {
            "1_3" => Self::V1_3,
            "1_4" => Self::V1_4,
            _ => Self::Latest,
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            Self::V1_3 => include_str!("types_1_3.yaml"),
            Self::V1_4 => include_str!("types_1_4.yaml"),
            Self::Latest => include_str!("types.yaml"),
        }
    }

    /// The file read; once for the whole process.
    pub(crate) fn root(self) -> &'static Node {
        static V1_3: LazyLock<Node> = LazyLock::new(|| read(BuiltIn::V1_3));
        static V1_4: LazyLock<Node> = LazyLock::new(|| read(BuiltIn::V1_4));
        static LATEST: LazyLock<Node> = LazyLock::new(|| read(BuiltIn::Latest));
        match self {
            Self::V1_3 => &V1_3,
            Self::V1_4 => &V1_4,
            Self::Latest => &LATEST,
        }
    }
}

fn read(types: BuiltIn) -> Node {
    let file: Arc<str> = BuiltIn::PATH.into();
    yaml::load(types.text(), &file, &Limits::default()).expect("the built-in types are valid")
}
