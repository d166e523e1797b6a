//! Where a function stands, and so whom SELF, SOURCE and TARGET mean there.

use std::fmt;
use std::sync::Arc;

/// One end of a scope: a node, and at runtime one of its instances.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Party {
    pub(crate) node: Arc<str>,
    pub(crate) instance: Option<Arc<str>>,
}

impl Party {
    pub(crate) fn node(name: &str) -> Self {
        Self {
            node: name.into(),
            instance: None,
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.instance {
            Some(instance) => write!(f, "node instance '{instance}' of '{}'", self.node),
            None => write!(f, "node '{}'", self.node),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    Node(Party),
    Relationship {
        source: Party,
        target: Party,
    },
    /// A section of the plan: no keyword means anything.
    Section(&'static str),
    /// A running deployment, with whatever the caller says about itself.
    Runtime(Box<Runtime>),
}

/// Whom the keywords mean at runtime, as far as they mean anyone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Runtime {
    pub(crate) own: Option<Party>,
    pub(crate) source: Option<Party>,
    pub(crate) target: Option<Party>,
}

impl Scope {
    /// Whom a keyword means to functions that read instances.
    pub(crate) fn keyword(&self, name: &str) -> Option<&Party> {
        match (name, self) {
            ("SELF", Self::Node(own)) => Some(own),
            ("SOURCE", Self::Relationship { source, .. }) => Some(source),
            ("TARGET", Self::Relationship { target, .. }) => Some(target),
            ("SELF", Self::Runtime(runtime)) => runtime.own.as_ref(),
            ("SOURCE", Self::Runtime(runtime)) => runtime.source.as_ref(),
            ("TARGET", Self::Runtime(runtime)) => runtime.target.as_ref(),
            _ => None,
        }
    }

    /// Whom a keyword means to functions that read nodes: in a relationship nobody is SELF.
    pub(crate) fn node_keyword(&self, name: &str) -> Option<&Party> {
        let in_relationship = matches!(
            self,
            Self::Runtime(runtime) if runtime.source.is_some() && runtime.target.is_some()
        );
        match (name, self) {
            ("SELF", Self::Runtime(_)) if in_relationship => None,
            ("SOURCE" | "TARGET", Self::Runtime(_)) if !in_relationship => None,
            _ => self.keyword(name),
        }
    }

    pub(crate) fn node(name: &str) -> Self {
        Self::Node(Party::node(name))
    }

    pub(crate) fn relationship(source: &str, target: &str) -> Self {
        Self::Relationship {
            source: Party::node(source),
            target: Party::node(target),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(party) => write!(f, "node '{}'", party.node),
            Self::Relationship { source, target } => {
                write!(
                    f,
                    "relationship from '{}' to '{}'",
                    source.node, target.node
                )
            }
            Self::Section(name) => f.write_str(name),
            Self::Runtime(_) => f.write_str("the context of the call"),
        }
    }
}
