//! From the path of a plan to the place of the document it came from.

use std::sync::Arc;

use crate::dsl::diagnostics::{Diagnostic, DslError, Path, Step};
use crate::dsl::imports::Document;
use crate::dsl::yaml::{Kind, Mark, Node};

/// Adds file, line and column to what was found wrong with a finished plan.
pub(crate) fn locate(error: DslError, document: &Document) -> DslError {
    let located = error.into_diagnostics().into_iter().map(|diagnostic| {
        if diagnostic.location.is_some() || diagnostic.path.0.is_empty() {
            return diagnostic;
        }
        let place = find(&document.root, &diagnostic.path.to_string());
        Diagnostic {
            location: place.mark.location(),
            path: place.path,
            ..diagnostic
        }
    });
    DslError::from_all(located.collect()).expect("an error holds at least one diagnostic")
}

/// As far as a path of a plan leads into the document.
struct Place<'n> {
    node: &'n Node,
    mark: Mark,
    path: Path,
}

fn find<'n>(root: &'n Node, written: &str) -> Place<'n> {
    let mut place = Place {
        node: root,
        mark: root.mark.clone(),
        path: Path::default(),
    };
    let Some(rest) = written.strip_prefix("nodes.") else {
        let renamed = written
            .strip_prefix("scaling_groups.")
            .map(|rest| format!("groups.{rest}"));
        place.walk(renamed.as_deref().unwrap_or(written));
        return place;
    };
    place.walk("node_templates");
    let Some(rest) = place.key(rest) else {
        return place;
    };
    match rest.strip_prefix("operations.") {
        Some(operation) => place.operation(operation),
        None => place.walk(rest),
    }
    place
}

impl Place<'_> {
    /// Follows keys and indices as long as they exist.
    fn walk(&mut self, rest: &str) {
        let mut rest = rest;
        loop {
            if let Some(indexed) = rest.strip_prefix('[') {
                let Some((number, after)) = indexed.split_once(']') else {
                    return;
                };
                let Ok(index) = number.parse::<usize>() else {
                    return;
                };
                let Some(item) = self.node.as_list().and_then(|items| items.get(index)) else {
                    return;
                };
                self.path = self.path.then(index);
                (self.node, self.mark) = (item, item.mark.clone());
                rest = after.strip_prefix('.').unwrap_or(after);
            } else {
                match self.key(rest) {
                    Some(after) if !after.is_empty() => rest = after,
                    _ => return,
                }
            }
        }
    }

    /// Follows the longest key that the rest begins with, for keys may hold dots; what is left
    /// behind it.
    fn key<'r>(&mut self, rest: &'r str) -> Option<&'r str> {
        let Kind::Map(items) = &self.node.kind else {
            return None;
        };
        let longest = items
            .iter()
            .filter_map(|(key, entry)| {
                let after = rest.strip_prefix(key.as_str()?)?;
                let ends = after.is_empty() || after.starts_with(['.', '[']);
                ends.then_some((key.text(), entry, after))
            })
            .max_by_key(|(key, ..)| key.len());
        let (key, entry, after) = longest?;
        self.path.0.push(Step::Key(Arc::clone(key)));
        (self.node, self.mark) = (&entry.value, entry.key_mark.clone());
        Some(after.strip_prefix('.').unwrap_or(after))
    }

    /// An operation of a plan goes by its own name or by that of its interface and its own.
    fn operation(&mut self, written: &str) {
        let Some(interfaces) = self.node.get("interfaces").and_then(Node::as_map) else {
            return;
        };
        for (interface, operations) in interfaces {
            let names = operations.value.as_map().into_iter().flatten();
            for (name, _) in names {
                let qualified = format!("{}.{}", interface.text(), name.text());
                let rest = [qualified.as_str(), name.text()]
                    .into_iter()
                    .find_map(|name| {
                        written
                            .strip_prefix(name)
                            .filter(|rest| rest.starts_with('.'))
                    });
                if let Some(rest) = rest {
                    let steps = format!("interfaces.{}.{}{rest}", interface.text(), name.text());
                    self.walk(&steps);
                    return;
                }
            }
        }
    }
}
