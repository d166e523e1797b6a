//! From a main file to one document: every import fetched once, parents before their imports, then
//! merged in that order.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::dsl::value::{Map, Value, object};
use indexmap::IndexMap;

use super::merge::{Merged, Newcomer};
use super::resolver::{Catalogue, Content, Fetched, ImportKind, ImportRequest, Resolver, Source};
use super::statement::{self, Statement};
use super::{namespace, plugin_properties};
use crate::dsl::ParseOptions;
use crate::dsl::diagnostics::{Diagnostic, DslError, Exception};
use crate::dsl::parser::{self, Version};
use crate::dsl::yaml::{self, Entry, Key, Kind, Mapping, Mark, Node};

/// Blueprints that import blueprints, at most this deep.
const BLUEPRINT_DEPTH_MAX: usize = 16;

/// A blueprint with everything it imports, as one tree.
#[derive(Debug)]
pub(crate) struct Document {
    pub root: Node,
    pub version: Version,
    /// Where the main file is; its scripts are looked for next to it.
    pub location: Option<Arc<str>>,
    /// Full namespace of every imported blueprint, with the blueprint's id.
    pub namespaces: IndexMap<String, String>,
    pub imported_blueprints: Vec<String>,
    basic: HashSet<(Arc<str>, Arc<str>)>,
}

/// Reads a main file and all it imports.
pub(crate) fn read(
    source: &Source,
    resolver: &dyn Resolver,
    options: &ParseOptions,
) -> Result<Document, DslError> {
    read_nested(source, resolver, options, 0)
}

fn read_nested(
    source: &Source,
    resolver: &dyn Resolver,
    options: &ParseOptions,
    depth: usize,
) -> Result<Document, DslError> {
    let root = yaml::load(&source.text, &source.name, &options.limits)?;
    let version = parser::version_of_main(&root, options.validate_version)?;
    check_shape(&root)?;
    let mut walk = Walk {
        resolver,
        options,
        version,
        depth,
        seen: HashSet::new(),
        queue: VecDeque::new(),
        files: Vec::new(),
        namespaces: own_namespaces(&root),
        imported_blueprints: own_blueprints(&root),
    };
    let statements = statement::read(&root, version, options.validate_version)?;
    statement::check_duplicates(&statements)?;
    if let Some(location) = &source.location {
        walk.seen.insert((location.as_ref().to_owned(), None));
    }
    walk.enqueue(statements, source.location.clone(), None);
    while let Some(next) = walk.queue.pop_front() {
        walk.visit(&next)?;
    }
    walk.finish(root, source.location.clone())
}

/// An import waiting to be fetched.
struct Pending {
    statement: Statement,
    importer: Option<Arc<str>>,
    /// The namespace of the importing file.
    inherited: Option<Arc<str>>,
}

impl Pending {
    fn namespace(&self) -> Option<Arc<str>> {
        match (&self.inherited, &self.statement.namespace) {
            (Some(outer), Some(inner)) => Some(format!("{outer}--{inner}").into()),
            (None, Some(own)) => Some(own.as_str().into()),
            (inherited, None) => inherited.clone(),
        }
    }
}

/// An imported file, ready to be merged.
struct File {
    root: Node,
    is_types: bool,
    basic: HashSet<(Arc<str>, Arc<str>)>,
}

struct Walk<'a> {
    resolver: &'a dyn Resolver,
    options: &'a ParseOptions,
    version: Version,
    depth: usize,
    seen: HashSet<(String, Option<Arc<str>>)>,
    queue: VecDeque<Pending>,
    files: Vec<File>,
    namespaces: IndexMap<String, String>,
    imported_blueprints: Vec<String>,
}

impl Walk<'_> {
    fn enqueue(
        &mut self,
        statements: Vec<Statement>,
        importer: Option<Arc<str>>,
        inherited: Option<Arc<str>>,
    ) {
        self.queue
            .extend(statements.into_iter().map(|statement| Pending {
                statement,
                importer: importer.clone(),
                inherited: inherited.clone(),
            }));
    }

    fn visit(&mut self, pending: &Pending) -> Result<(), DslError> {
        let statement = &pending.statement;
        let namespace = pending.namespace();
        let request = ImportRequest {
            spec: &statement.spec,
            importer: pending.importer.as_deref(),
            version: self.version.suffix(),
        };
        let blueprint = match request.kind() {
            ImportKind::Blueprint(id) => Some(id.to_owned()),
            _ => None,
        };

        self.check_blueprint(blueprint.is_some(), namespace.as_deref(), statement)?;
        let fetched = self.resolver.fetch(&request).map_err(|error| {
            let message = format!("cannot import '{}': {error}", statement.spec);
            DslError::from(
                Diagnostic::new(Exception::Logic, 13, message).at(statement.mark.location()),
            )
        })?;
        let identity = match (request.kind(), &fetched.location) {
            (ImportKind::Resource(_), Some(location)) => location.as_ref().to_owned(),
            (ImportKind::Resource(_), None) => fetched.name.as_ref().to_owned(),
            _ => statement.spec.clone(),
        };
        if !self.seen.insert((identity, namespace.clone())) {
            return Ok(());
        }
        if self.seen.len() > self.options.limits.files_max {
            let message = format!(
                "more than {} files are imported",
                self.options.limits.files_max
            );
            return Err(logic(13, message, &statement.mark, "fewer imports"));
        }
        match (blueprint, namespace) {
            (Some(id), Some(namespace)) => self.blueprint(id, &namespace, fetched, statement),
            (_, namespace) => self.file(pending, namespace, fetched),
        }
    }

    /// A blueprint needs a namespace that no other blueprint has.
    fn check_blueprint(
        &self,
        is_blueprint: bool,
        namespace: Option<&str>,
        statement: &Statement,
    ) -> Result<(), DslError> {
        let Some(namespace) = namespace.filter(|_| is_blueprint) else {
            if !is_blueprint {
                return Ok(());
            }
            let message = format!("'{}' is imported without a namespace", statement.spec);
            return Err(logic(
                213,
                message,
                &statement.mark,
                "namespace--blueprint:id",
            ));
        };
        if self.namespaces.contains_key(namespace) {
            let message = format!("the namespace '{namespace}' is taken by another blueprint");
            return Err(logic(
                214,
                message,
                &statement.mark,
                "a namespace of its own",
            ));
        }
        Ok(())
    }

    fn file(
        &mut self,
        pending: &Pending,
        namespace: Option<Arc<str>>,
        fetched: Fetched,
    ) -> Result<(), DslError> {
        let statement = &pending.statement;
        let mut root = self.load(&fetched)?;
        check_shape(&root)?;
        self.check_version(&root)?;
        if let Some(catalogue) = &fetched.catalogue {
            root = with_catalogue(&root, catalogue);
        }
        let is_types = defines_root(&root);
        if is_types && statement.namespace.is_some() {
            let message = format!("the built-in types '{}' take no namespace", statement.spec);
            return Err(logic(
                214,
                message,
                &statement.mark,
                "an import without a namespace",
            ));
        }
        if let Some(properties) = &statement.properties {
            root = plugin_properties::apply(&root, properties)?;
        }
        let statements = statement::read(&root, self.version, self.options.validate_version)?;
        self.enqueue(statements, fetched.location.clone(), namespace.clone());
        if let (Some(namespace), false) = (&namespace, is_types) {
            root = namespace::apply(&root, namespace, &HashSet::new());
        }
        self.files.push(File {
            root,
            is_types,
            basic: HashSet::new(),
        });
        Ok(())
    }

    /// Another blueprint comes in whole: its own imports are merged first.
    fn blueprint(
        &mut self,
        id: String,
        namespace: &Arc<str>,
        fetched: Fetched,
        statement: &Statement,
    ) -> Result<(), DslError> {
        if self.depth >= BLUEPRINT_DEPTH_MAX {
            let message = "blueprints import each other too deeply".to_owned();
            return Err(logic(
                13,
                message,
                &statement.mark,
                "fewer levels of blueprints",
            ));
        }
        let text = match &fetched.content {
            Content::Text(text) => Arc::clone(text),
            Content::BuiltIn(types) => types.text().into(),
        };
        let source = Source {
            name: fetched.name,
            text,
            location: fetched.location,
        };
        let options = ParseOptions {
            validate_version: false,
            validate_functions: false,
            validate_defaults: false,
            ..*self.options
        };
        let document = read_nested(&source, self.resolver, &options, self.depth + 1)?;
        parser::compile(&document, self.resolver, &options)?;
        self.check_version(&document.root)?;
        for (inner, inner_id) in &document.namespaces {
            self.namespaces
                .insert(format!("{namespace}--{inner}"), inner_id.clone());
        }
        self.namespaces
            .insert(namespace.as_ref().to_owned(), id.clone());
        for id in document.imported_blueprints.iter().chain([&id]) {
            if !self.imported_blueprints.contains(id) {
                self.imported_blueprints.push(id.clone());
            }
        }
        let root = namespace::apply(&document.root, namespace, &document.basic);
        self.files.push(File {
            root,
            is_types: false,
            basic: document.basic,
        });
        Ok(())
    }

    fn load(&self, fetched: &Fetched) -> Result<Node, DslError> {
        match &fetched.content {
            Content::Text(text) => yaml::load(text, &fetched.name, &self.options.limits),
            Content::BuiltIn(types) => Ok(types.root().clone()),
        }
    }

    /// An imported file must not be written in a newer language than the main file.
    fn check_version(&self, root: &Node) -> Result<(), DslError> {
        let Some(node) = root
            .get("tosca_definitions_version")
            .filter(|node| !node.is_null())
        else {
            return Ok(());
        };
        if !self.options.validate_version {
            return Ok(());
        }
        let Some(version) = node.as_str().and_then(Version::parse) else {
            let message = "the imported file is written in an unknown version".to_owned();
            return Err(
                Diagnostic::new(Exception::Uncontrolled("ValueError"), None, message)
                    .at(node.mark.location())
                    .into(),
            );
        };
        if version > self.version {
            let message = format!(
                "the imported file is written in {}, newer than {} of the main file",
                version.name(),
                self.version.name()
            );
            return Err(logic(
                28,
                message,
                &node.mark,
                "the main file's version or an older one",
            ));
        }
        Ok(())
    }

    fn finish(self, root: Node, location: Option<Arc<str>>) -> Result<Document, DslError> {
        let mut merged = Merged::default();
        // Of these only the main file's are checked and kept.
        for name in [
            "tosca_definitions_version",
            "imported_blueprints",
            "namespaces_mapping",
        ] {
            if let Some((key, entry)) = root.as_map().and_then(|map| map.get_key_value(name)) {
                merged.sections.insert(key.clone(), entry.clone());
            }
        }
        let main = Newcomer {
            root: &root,
            is_types: defines_root(&root),
            basic: HashSet::new(),
        };
        merged.absorb(&main, self.version)?;
        for file in self.files {
            let newcomer = Newcomer {
                root: &file.root,
                is_types: file.is_types,
                basic: file.basic,
            };
            merged.absorb(&newcomer, self.version)?;
        }
        let Merged { sections, basic } = merged;
        Ok(Document {
            root: Node::new(Kind::Map(Arc::new(sections)), root.mark),
            version: self.version,
            location,
            namespaces: self.namespaces,
            imported_blueprints: self.imported_blueprints,
            basic,
        })
    }
}

fn logic(code: i32, message: String, mark: &Mark, expected: &str) -> DslError {
    Diagnostic::new(Exception::Logic, code, message)
        .at(mark.location())
        .expected(expected)
        .into()
}

fn own_namespaces(root: &Node) -> IndexMap<String, String> {
    let entries = root.get("namespaces_mapping").and_then(Node::as_map);
    let pair = |(key, entry): (&Key, &Entry)| {
        Some((
            key.text().as_ref().to_owned(),
            entry.value.as_str()?.to_owned(),
        ))
    };
    entries.into_iter().flatten().filter_map(pair).collect()
}

fn own_blueprints(root: &Node) -> Vec<String> {
    let items = root
        .get("imported_blueprints")
        .and_then(Node::as_list)
        .unwrap_or_default();
    items
        .iter()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

fn defines_root(root: &Node) -> bool {
    root.get("node_types")
        .is_some_and(|types| types.get("cloudify.nodes.Root").is_some())
}

/// Shapes that no later check would see, because merging comes first.
fn check_shape(root: &Node) -> Result<(), DslError> {
    let fail = |at: &Node, what: &str| {
        Err(
            Diagnostic::new(Exception::Uncontrolled("ValueError"), None, what.to_owned())
                .at(at.mark.location())
                .into(),
        )
    };
    if root.as_map().is_none() {
        return fail(root, "an imported file must be a map of sections");
    }
    for section in ["node_types", "metadata"] {
        match root.get(section) {
            Some(value) if value.as_map().is_none() => {
                return fail(value, &format!("{section} must be a map"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// An uploaded plugin's labels and tags stand in place of those in its file.
fn with_catalogue(root: &Node, catalogue: &Catalogue) -> Node {
    let Some(sections) = root.as_map() else {
        return root.clone();
    };
    let mut sections: Mapping = sections.clone();
    let wrapped = |labels: &Map| {
        let wrap = |(key, value): (&Arc<str>, &Value)| {
            (key.clone(), Value::Object(object! { "values": value }))
        };
        labels.iter().map(wrap).collect::<Map>()
    };
    for (name, items) in [
        ("labels", wrapped(&catalogue.labels)),
        ("blueprint_labels", wrapped(&catalogue.blueprint_labels)),
        ("resource_tags", catalogue.resource_tags.clone()),
    ] {
        sections.shift_remove(name);
        if !items.is_empty() {
            let value = Node::from_value(&Value::Object(items), &root.mark);
            sections.insert(
                Key::Str(name.into()),
                Entry {
                    key_mark: root.mark.clone(),
                    value,
                },
            );
        }
    }
    Node::new(Kind::Map(Arc::new(sections)), root.mark.clone())
}
