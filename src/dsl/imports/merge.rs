//! Merging one imported file into the document.

use std::collections::HashSet;
use std::sync::Arc;

use crate::dsl::diagnostics::{Diagnostic, DslError, Exception, Path};
use crate::dsl::parser::Version;
use crate::dsl::yaml::{Entry, Key, Kind, Mapping, Node};

/// The document under construction.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub sections: Mapping,
    /// Items that come from the built-in types: any file may bring them again, and no namespace
    /// touches them.
    pub basic: HashSet<(Arc<str>, Arc<str>)>,
}

/// A file about to be merged.
#[derive(Debug)]
pub(super) struct Newcomer<'a> {
    pub root: &'a Node,
    /// Whether it is the file of the built-in types.
    pub is_types: bool,
    /// What an imported blueprint took from the built-in types.
    pub basic: HashSet<(Arc<str>, Arc<str>)>,
}

const IGNORED: [&str; 5] = [
    "imports",
    "dsl_definitions",
    "tosca_definitions_version",
    "imported_blueprints",
    "namespaces_mapping",
];

impl Merged {
    pub(super) fn absorb(
        &mut self,
        newcomer: &Newcomer<'_>,
        version: Version,
    ) -> Result<(), DslError> {
        let Some(sections) = newcomer.root.as_map() else {
            return Ok(());
        };
        for (key, entry) in sections {
            let name = key.text();
            if IGNORED.contains(&name.as_ref()) {
                continue;
            }
            match self.sections.get_mut(&**name) {
                None => {
                    self.sections.insert(key.clone(), entry.clone());
                }
                Some(_) if matches!(name.as_ref(), "description" | "metadata") => {}
                Some(present) if is_mergeable(name, version) => {
                    merge_section(name, present, entry, newcomer, &self.basic)?;
                }
                Some(_) => return Err(unmergeable(name, entry, version)),
            }
        }
        self.remember_basic(newcomer, sections);
        Ok(())
    }

    fn remember_basic(&mut self, newcomer: &Newcomer<'_>, sections: &Mapping) {
        self.basic.extend(newcomer.basic.iter().cloned());
        if !newcomer.is_types {
            return;
        }
        for (section, entry) in sections {
            for item in entry.value.as_map().into_iter().flat_map(Mapping::keys) {
                self.basic
                    .insert((Arc::clone(section.text()), Arc::clone(item.text())));
            }
        }
    }
}

fn is_mergeable(section: &str, version: Version) -> bool {
    match section {
        "node_types" | "plugins" | "workflows" | "relationships" | "policy_types"
        | "policy_triggers" | "groups" | "data_types" | "interfaces" => true,
        "inputs" | "outputs" | "node_templates" | "capabilities" | "labels"
        | "blueprint_labels" | "resource_tags" => version >= Version::V1_3,
        _ => false,
    }
}

fn unmergeable(section: &str, entry: &Entry, version: Version) -> DslError {
    let message = if version < Version::V1_3 && is_mergeable(section, Version::V1_3) {
        format!("two files have the section '{section}'; merging it needs cloudify_dsl_1_3")
    } else {
        format!("two files have the section '{section}', which cannot be merged")
    };
    Diagnostic::new(Exception::Logic, 3, message)
        .at(entry.key_mark.location())
        .path([section].into())
        .into()
}

fn merge_section(
    section: &Arc<str>,
    present: &mut Entry,
    entry: &Entry,
    newcomer: &Newcomer<'_>,
    basic: &HashSet<(Arc<str>, Arc<str>)>,
) -> Result<(), DslError> {
    if entry.value.is_null() {
        return Ok(());
    }
    let (Kind::Map(items), Some(new_items)) = (&mut present.value.kind, entry.value.as_map())
    else {
        if present.value.is_null() {
            *present = entry.clone();
            return Ok(());
        }
        return Err(uncontrolled("TypeError", section, entry));
    };
    let items = Arc::make_mut(items);
    for (key, new) in new_items {
        let Some(old) = items.get_mut(key) else {
            items.insert(key.clone(), new.clone());
            continue;
        };
        let item = (Arc::clone(section), Arc::clone(key.text()));
        let overwrites = key.text().starts_with("cloudify.")
            || newcomer.is_types
            || newcomer.basic.contains(&item)
            || basic.contains(&item);
        if overwrites {
            *old = new.clone();
            continue;
        }
        match section.as_ref() {
            "labels" | "blueprint_labels" | "resource_tags" => {}
            "workflows" => merge_workflow(section, old, new)?,
            "node_templates" => merge_node_template(key, old, new)?,
            _ => return Err(conflict(section, key, old, new)),
        }
    }
    Ok(())
}

fn merge_workflow(section: &str, old: &mut Entry, new: &Entry) -> Result<(), DslError> {
    let (Kind::Map(fields), Some(new_fields)) = (&mut old.value.kind, new.value.as_map()) else {
        return Err(uncontrolled("TypeError", section, new));
    };
    let fields = Arc::make_mut(fields);
    for (field, value) in new_fields {
        fields.entry(field.clone()).or_insert_with(|| value.clone());
    }
    Ok(())
}

/// A node template may be split: one file has it, others add relationships.
fn merge_node_template(key: &Key, old: &mut Entry, new: &Entry) -> Result<(), DslError> {
    let only_relationships =
        |mapping: &Mapping| mapping.len() == 1 && mapping.contains_key("relationships");
    let allowed = match (old.value.as_map(), new.value.as_map()) {
        (Some(old), Some(new)) => {
            (only_relationships(old) && (new.contains_key("type") || only_relationships(new)))
                || (old.contains_key("relationships") && only_relationships(new))
        }
        _ => false,
    };
    let (Kind::Map(fields), Some(new_fields), true) =
        (&mut old.value.kind, new.value.as_map(), allowed)
    else {
        return Err(conflict("node_templates", key, old, new));
    };
    let fields = Arc::make_mut(fields);
    for (field, value) in new_fields {
        let Some(present) = fields.get_mut(field) else {
            fields.insert(field.clone(), value.clone());
            continue;
        };
        let (Some(first), Some(more)) = (present.value.as_list(), value.value.as_list()) else {
            return Err(conflict("node_templates", key, old, new));
        };
        let joined: Vec<Node> = first.iter().chain(more).cloned().collect();
        present.value.kind = Kind::List(joined.into());
    }
    Ok(())
}

fn conflict(section: &str, key: &Key, old: &Entry, new: &Entry) -> DslError {
    let mut message = format!("'{}' is defined twice in {section}", key.text());
    if let Some(location) = old.key_mark.location() {
        message.push_str(&format!(", first at {location}"));
    }
    Diagnostic::new(Exception::Logic, 4, message)
        .at(new.key_mark.location())
        .path(Path::from([section, key.text().as_ref()]))
        .into()
}

fn uncontrolled(exception: &'static str, section: &str, entry: &Entry) -> DslError {
    let message = format!("the two definitions in {section} cannot be merged");
    Diagnostic::new(Exception::Uncontrolled(exception), None, message)
        .at(entry.key_mark.location())
        .path([section].into())
        .into()
}
