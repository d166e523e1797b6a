//! From the parser's events to the located tree.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use libyaml_safer::{Error, ErrorKind, Event, EventData, Mark as Position, Parser, ScalarStyle};

use super::Limits;
use super::node::{Entry, Key, Kind, Mapping, Mark, Node};
use super::scalar::{self, Unreadable};
use super::text::{Unended, ended};
use crate::dsl::diagnostics::{Diagnostic, DslError, Exception};

const CORE: &str = "tag:yaml.org,2002:";

/// Reads one document. An empty text is an empty map.
pub(crate) fn load(text: &str, file: &Arc<str>, limits: &Limits) -> Result<Node, DslError> {
    let start = Mark {
        file: Arc::clone(file),
        line: 1,
        column: 1,
    };
    if text.len() > limits.file_bytes_max {
        let message = format!("the file is larger than {} bytes", limits.file_bytes_max);
        return Err(Diagnostic::new(Exception::Format, -1, message)
            .at(start.location())
            .into());
    }
    let root = match compose(text, file, limits) {
        Ok(root) => root,
        Err(Failure {
            colon: Some(index),
            error,
        }) => with_spaced_colons(text, index, error, |text| compose(text, file, limits))?,
        Err(Failure { error, .. }) => return Err(error),
    };
    Ok(root.unwrap_or_else(|| Node::new(Kind::Map(Arc::default()), start)))
}

/// Why a text could not be read, and where the colon is that the parser stumbled over, if it did.
struct Failure {
    error: DslError,
    colon: Option<usize>,
}

fn compose(text: &str, file: &Arc<str>, limits: &Limits) -> Result<Option<Node>, Failure> {
    let (text, unended) = ended(text);
    let mut input = text.as_bytes();
    let mut parser = Parser::new();
    parser.set_input_string(&mut input);
    let (anchors, nodes_count, colon) = (HashMap::new(), 0, None);
    let mut composer = Composer {
        unended,
        parser,
        file,
        limits,
        anchors,
        nodes_count,
        colon,
    };
    // the scanner gives up on a tag before a comma, among others, by panicking
    let read = catch_unwind(AssertUnwindSafe(|| composer.document()));
    let root = read.unwrap_or_else(|_panic| {
        let what = "not YAML: the text cannot be taken apart";
        Err(Diagnostic::new(
            Exception::Uncontrolled("ScannerError"),
            None,
            what.to_owned(),
        )
        .into())
    });
    root.map_err(|error| Failure {
        error,
        colon: composer.colon,
    })
}

/// In `{key:[1]}` PyYAML ends the key before the bracket, which libyaml refuses to: such a colon
/// gets the space it lacks. Each one costs a reading, so there is a limit.
fn with_spaced_colons(
    text: &str,
    index: usize,
    error: DslError,
    compose: impl Fn(&str) -> Result<Option<Node>, Failure>,
) -> Result<Option<Node>, DslError> {
    const COLONS_MAX: usize = 100;
    let (mut text, mut index, mut error) = (text.to_owned(), index, error);
    for _ in 0..COLONS_MAX {
        if text.as_bytes().get(index) != Some(&b':') {
            return Err(error);
        }
        text.insert(index + 1, ' ');
        match compose(&text) {
            Ok(root) => return Ok(root),
            Err(Failure {
                colon: Some(next),
                error: problem,
            }) if next > index => {
                (index, error) = (next, problem);
            }
            Err(failure) => return Err(failure.error),
        }
    }
    Err(error)
}

struct Composer<'a, 'i> {
    parser: Parser<&'a mut &'i [u8]>,
    file: &'a Arc<str>,
    limits: &'a Limits,
    unended: Option<Unended>,
    anchors: HashMap<String, Anchor>,
    /// Values so far, aliases written out.
    nodes_count: usize,
    colon: Option<usize>,
}

/// What an alias stands for; nothing while its value is still being read.
struct Anchor {
    node: Option<Node>,
    nodes_count: usize,
    depth: usize,
}

/// A value and the levels below it.
struct Composed {
    node: Node,
    depth: usize,
}

impl Composer<'_, '_> {
    fn next(&mut self) -> Result<Event, DslError> {
        self.parser.parse().map_err(|error| {
            if error.problem() == "found unexpected ':'" {
                let mark = error.problem_mark();
                self.colon = mark.and_then(|mark| usize::try_from(mark.index).ok());
            }
            self.syntax(&error)
        })
    }

    fn document(&mut self) -> Result<Option<Node>, DslError> {
        loop {
            let event = self.next()?;
            match event.data {
                EventData::StreamEnd => return Ok(None),
                EventData::DocumentStart { .. } => break,
                _ => {}
            }
        }
        let event = self.next()?;
        let root = self.node(event, 0)?.node;
        loop {
            let event = self.next()?;
            match event.data {
                EventData::StreamEnd => break,
                EventData::DocumentStart { .. } => {
                    let message = "a file holds one document, here a second one begins";
                    return Err(self.fail(event.start_mark, "ComposerError", message));
                }
                _ => {}
            }
        }
        Ok(Some(root))
    }

    fn node(&mut self, event: Event, level: usize) -> Result<Composed, DslError> {
        let (at, end_mark) = (event.start_mark, event.end_mark);
        self.count(at, 1, level)?;
        let mark = self.mark(at);
        match event.data {
            EventData::Alias { anchor } => self.alias(&anchor, at, level),
            EventData::Scalar {
                anchor,
                tag,
                value,
                style,
                ..
            } => {
                let plain = style == ScalarStyle::Plain;
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let value = match self.unended.filter(|_| is_block) {
                    Some(unended) => unended.without_end(&value, end_mark.index),
                    None => &value,
                };
                let kind = self.scalar(tag.as_deref(), value, plain, at)?;
                let composed = Composed {
                    node: Node::new(kind, mark),
                    depth: 0,
                };
                if let Some(anchor) = anchor {
                    self.begin(Some(&anchor), at)?;
                    self.finish(anchor, &composed, 1);
                }
                Ok(composed)
            }
            EventData::SequenceStart { anchor, tag, .. } => {
                let before = self.begin(anchor.as_ref(), at)?;
                let (items, depth) = self.sequence(level)?;
                self.known_tag(tag.as_deref(), "seq", at)?;
                let node = Node::new(Kind::List(items.into()), mark);
                Ok(self.end(
                    anchor,
                    before,
                    Composed {
                        node,
                        depth: depth + 1,
                    },
                ))
            }
            EventData::MappingStart { anchor, tag, .. } => {
                let before = self.begin(anchor.as_ref(), at)?;
                let (mapping, depth) = self.mapping(level)?;
                let kind = if tag.as_deref() == Some("tag:yaml.org,2002:set") {
                    Kind::Set(self.set(&mapping))
                } else {
                    self.known_tag(tag.as_deref(), "map", at)?;
                    Kind::Map(Arc::new(mapping))
                };
                let node = Node::new(kind, mark);
                Ok(self.end(
                    anchor,
                    before,
                    Composed {
                        node,
                        depth: depth + 1,
                    },
                ))
            }
            _ => Err(self.fail(at, "ComposerError", "a value is missing here")),
        }
    }

    fn begin(&mut self, anchor: Option<&String>, at: Position) -> Result<usize, DslError> {
        if let Some(anchor) = anchor {
            let unfinished = Anchor {
                node: None,
                nodes_count: 0,
                depth: 0,
            };
            if self.anchors.insert(anchor.clone(), unfinished).is_some() {
                let message = format!("the anchor '&{anchor}' is taken");
                return Err(self.fail(at, "ComposerError", &message));
            }
        }
        Ok(self.nodes_count)
    }

    fn end(&mut self, anchor: Option<String>, before: usize, composed: Composed) -> Composed {
        if let Some(anchor) = anchor {
            let nodes_count = self.nodes_count - before + 1;
            self.finish(anchor, &composed, nodes_count);
        }
        composed
    }

    fn finish(&mut self, anchor: String, composed: &Composed, nodes_count: usize) {
        let node = Some(composed.node.clone());
        self.anchors.insert(
            anchor,
            Anchor {
                node,
                nodes_count,
                depth: composed.depth,
            },
        );
    }

    fn alias(&mut self, name: &str, at: Position, level: usize) -> Result<Composed, DslError> {
        let Some(anchor) = self.anchors.get(name) else {
            let message = format!("the alias '*{name}' has no anchor above it");
            return Err(self.fail(at, "ComposerError", &message));
        };
        let Some(node) = anchor.node.clone() else {
            let message = format!("the alias '*{name}' stands inside its own value");
            return Err(self.fail(at, "RecursionError", &message));
        };
        let (nodes_count, depth) = (anchor.nodes_count, anchor.depth);
        self.count(at, nodes_count, level + depth)?;
        Ok(Composed { node, depth })
    }

    fn sequence(&mut self, level: usize) -> Result<(Vec<Node>, usize), DslError> {
        let (mut items, mut depth) = (Vec::new(), 0);
        loop {
            let event = self.next()?;
            if matches!(event.data, EventData::SequenceEnd) {
                return Ok((items, depth));
            }
            let item = self.node(event, level + 1)?;
            depth = depth.max(item.depth);
            items.push(item.node);
        }
    }

    fn mapping(&mut self, level: usize) -> Result<(Mapping, usize), DslError> {
        let (mut mapping, mut merged, mut depth) = (Mapping::new(), Mapping::new(), 0);
        loop {
            let event = self.next()?;
            if matches!(event.data, EventData::MappingEnd) {
                break;
            }
            if is_merge_key(&event.data) {
                let at = event.start_mark;
                let event = self.next()?;
                let value = self.node(event, level + 1)?;
                depth = depth.max(value.depth);
                self.merge(&mut merged, &value.node, at)?;
                continue;
            }
            let at = event.start_mark;
            let key = self.node(event, level + 1)?.node;
            let key_mark = key.mark.clone();
            let key = self.key(key.kind, at)?;
            let event = self.next()?;
            let value = self.node(event, level + 1)?;
            depth = depth.max(value.depth);
            mapping.insert(
                key,
                Entry {
                    key_mark,
                    value: value.node,
                },
            );
        }
        if merged.is_empty() {
            return Ok((mapping, depth));
        }
        merged.extend(mapping);
        Ok((merged, depth))
    }

    /// Adds what a merge key brings; what is there already stays.
    fn merge(&self, into: &mut Mapping, value: &Node, at: Position) -> Result<(), DslError> {
        let sources = match &value.kind {
            Kind::Map(_) => std::slice::from_ref(value),
            Kind::List(items) => items,
            _ => &[],
        };
        if sources.is_empty() && value.as_list().is_none() {
            return Err(self.fail(
                at,
                "ConstructorError",
                "only a map or a list of maps is merged",
            ));
        }
        for source in sources {
            let Some(mapping) = source.as_map() else {
                return Err(self.fail(at, "ConstructorError", "only maps can be merged"));
            };
            for (key, entry) in mapping {
                into.entry(key.clone()).or_insert_with(|| entry.clone());
            }
        }
        Ok(())
    }

    fn key(&self, kind: Kind, at: Position) -> Result<Key, DslError> {
        Ok(match kind {
            Kind::Str(text) => Key::Str(text),
            Kind::Timestamp(text) => Key::Other(text),
            Kind::Null => Key::Other("null".into()),
            Kind::Bool(value) => Key::Other(value.to_string().into()),
            Kind::Int(number) => Key::Other(number.to_string().into()),
            Kind::Float(value) => Key::Other(format!("{value:?}").into()),
            Kind::List(_) | Kind::Set(_) | Kind::Map(_) => {
                return Err(self.fail(at, "TypeError", "a list or a map cannot be a key"));
            }
        })
    }

    fn set(&self, mapping: &Mapping) -> Arc<[Node]> {
        let mut members: Vec<_> = mapping.iter().collect();
        members.sort_by_key(|(key, _)| key.text().clone());
        let node = |(key, entry): (&Key, &Entry)| {
            Node::new(Kind::Str(Arc::clone(key.text())), entry.key_mark.clone())
        };
        members.into_iter().map(node).collect()
    }

    fn scalar(
        &self,
        tag: Option<&str>,
        text: &str,
        plain: bool,
        at: Position,
    ) -> Result<Kind, DslError> {
        let kind = match tag {
            None if plain => scalar::plain(text),
            None | Some("!") => Ok(Kind::Str(text.into())),
            Some(tag) => match tag.strip_prefix(CORE) {
                Some(name) => scalar::tagged(name, text),
                None => Err(Unreadable::Tag),
            },
        };
        let kind = kind.map_err(|unreadable| match unreadable {
            Unreadable::Value(what) => self.fail(at, "ValueError", &format!("'{text}' is {what}")),
            Unreadable::Tag => {
                let what =
                    tag.map_or_else(|| format!("'{text}'"), |tag| format!("the tag '{tag}'"));
                self.fail(
                    at,
                    "ConstructorError",
                    &format!("{what} has no meaning here"),
                )
            }
        })?;
        if matches!(kind, Kind::Str(_)) && !text.is_ascii() {
            let message = format!("'{text}' has characters outside ASCII");
            let location = self.mark(at).location();
            return Err(Diagnostic::new(Exception::InputType, 108, message)
                .at(location)
                .expected("ASCII text")
                .into());
        }
        Ok(kind)
    }

    fn known_tag(&self, tag: Option<&str>, name: &str, at: Position) -> Result<(), DslError> {
        match tag {
            None | Some("!") => Ok(()),
            Some(tag) if tag.strip_prefix(CORE) == Some(name) => Ok(()),
            Some(tag) => {
                let message = format!("the tag '{tag}' has no meaning here");
                Err(self.fail(at, "ConstructorError", &message))
            }
        }
    }

    fn count(&mut self, at: Position, nodes_count: usize, level: usize) -> Result<(), DslError> {
        self.nodes_count = self.nodes_count.saturating_add(nodes_count);
        if self.nodes_count > self.limits.nodes_max {
            let message = format!(
                "more than {} values once aliases are written out",
                self.limits.nodes_max
            );
            return Err(self.fail(at, "MemoryError", &message));
        }
        if level > self.limits.depth_max {
            let message = format!("nested deeper than {} levels", self.limits.depth_max);
            return Err(self.fail(at, "RecursionError", &message));
        }
        Ok(())
    }

    fn mark(&self, at: Position) -> Mark {
        let number = |value: u64| u32::try_from(value + 1).unwrap_or(u32::MAX);
        Mark {
            file: Arc::clone(self.file),
            line: number(at.line),
            column: number(at.column),
        }
    }

    fn fail(&self, at: Position, exception: &'static str, message: &str) -> DslError {
        Diagnostic::new(Exception::Uncontrolled(exception), None, message.to_owned())
            .at(self.mark(at).location())
            .into()
    }

    fn syntax(&self, error: &Error) -> DslError {
        let mut message = error.problem().to_owned();
        if let Some(context) = error.context().filter(|context| !context.is_empty()) {
            message = format!("{context}: {message}");
        }
        let exception = match error.kind() {
            ErrorKind::Parser => Exception::Format,
            ErrorKind::Scanner => Exception::Uncontrolled("ScannerError"),
            ErrorKind::Composer => Exception::Uncontrolled("ComposerError"),
            _ => Exception::Uncontrolled("ReaderError"),
        };
        let err_code = (exception == Exception::Format).then_some(-1);
        let location = error
            .problem_mark()
            .and_then(|mark| self.mark(mark).location());
        Diagnostic::new(exception, err_code, format!("not YAML: {message}"))
            .at(location)
            .into()
    }
}

fn is_merge_key(event: &EventData) -> bool {
    match event {
        EventData::Scalar {
            tag, value, style, ..
        } => {
            tag.as_deref() == Some("tag:yaml.org,2002:merge")
                || (tag.is_none() && *style == ScalarStyle::Plain && value == "<<")
        }
        _ => false,
    }
}
