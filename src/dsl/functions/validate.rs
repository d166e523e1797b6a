//! The check of all functions of a parsed plan.

use std::fmt::Write;

use crate::dsl::value::{List, Map, Value};

use super::call::{self, Call};
use super::evaluate::{DEPTH_MAX, find_property, missing_property, property_owner};
use super::fault::{invalid, key_error, value_error};
use super::kind::Kind;
use super::places::Place;
use super::plan_source::PlanSource;
use super::scope::Scope;
use super::survey::survey;
use super::{shape, strings, text};
use crate::dsl::{Diagnostic, DslError, Exception, Plan};

/// Checks every intrinsic function of a plan whose inputs still are definitions. All that is wrong
/// is reported.
pub(crate) fn validate(plan: &Plan, places: &[Place]) -> Result<(), DslError> {
    let none = Map::new();
    let inputs = plan.object("inputs").unwrap_or(&none);
    let source = PlanSource::new(plan, inputs);
    let mut found: Vec<Diagnostic> = Vec::new();
    for place in places {
        // What a short operation name stands for is checked under its full name.
        let Some(value) = place.value(plan).filter(|_| !place.is_alias) else {
            continue;
        };
        let mut checker = Checker {
            source: &source,
            scope: &place.scope,
            path: place.path.clone(),
            errors: Vec::new(),
        };
        match value {
            Value::Object(map) => checker.entries(map, 1),
            other => checker.value(other, 0),
        }
        found.append(&mut checker.errors);
    }
    DslError::from_all(found).map_or(Ok(()), Err)
}

struct Checker<'c, 'p> {
    source: &'c PlanSource<'p>,
    scope: &'c Scope,
    /// Where the walk is.
    path: String,
    errors: Vec<Diagnostic>,
}

impl Checker<'_, '_> {
    fn value(&mut self, value: &Value, depth: usize) {
        // Deeper down evaluation will refuse anything; there is nothing to be learnt there.
        if depth > DEPTH_MAX || !survey(value).has_calls {
            return;
        }
        match value {
            Value::Array(items) => {
                let here = self.path.len();
                for (index, item) in items.iter().enumerate() {
                    // Writing to a string cannot fail.
                    let _ = write!(self.path, "[{index}]");
                    self.value(item, depth + 1);
                    self.path.truncate(here);
                }
            }
            Value::Object(map) => {
                if let Some(call) = call::recognise(map)
                    && let Err(error) = self.call(&call)
                {
                    let path = format!("{}.{}", self.path, call.kind.name());
                    self.errors
                        .append(&mut super::at(error, &path).into_diagnostics());
                    return;
                }
                self.entries(map, depth + 1);
            }
            _ => {}
        }
    }

    fn entries(&mut self, map: &Map, depth: usize) {
        let here = self.path.len();
        for (key, item) in map {
            self.path.push('.');
            self.path.push_str(key);
            self.value(item, depth);
            self.path.truncate(here);
        }
    }

    fn call(&self, call: &Call<'_>) -> Result<(), DslError> {
        shape::check(call.kind, call.args)?;
        match call.kind {
            Kind::GetInput => self.get_input(call),
            Kind::GetProperty => self.get_property(call),
            Kind::GetAttribute | Kind::GetAttributesList | Kind::GetAttributesDict => {
                self.get_attribute(call)
            }
            Kind::GetSys => get_sys(call.args),
            Kind::Concat => self.since(call.kind, 1),
            Kind::Merge => self.merge(call),
            Kind::StringFind
            | Kind::StringLower
            | Kind::StringReplace
            | Kind::StringSplit
            | Kind::StringUpper => strings::check_types(call.kind, call.args),
            _ => Ok(()),
        }
    }

    fn since(&self, kind: Kind, minor: u64) -> Result<(), DslError> {
        if self.source.plan().minor_version() >= minor {
            return Ok(());
        }
        Err(invalid(format!(
            "{} needs cloudify_dsl_1_{minor} or later",
            kind.name()
        )))
    }

    fn merge(&self, call: &Call<'_>) -> Result<(), DslError> {
        self.since(call.kind, 3)?;
        let items = call.args.as_array().into_iter().flatten();
        match items.into_iter().find(|item| !item.is_object()) {
            None => Ok(()),
            Some(other) => Err(invalid(format!(
                "merge takes maps, but got {}",
                text::repr(other)
            ))),
        }
    }

    fn get_input(&self, call: &Call<'_>) -> Result<(), DslError> {
        let name = match call.args {
            Value::Array(path) => path.first(),
            single => Some(single),
        };
        let Some(name) = name.filter(|name| !call::is_call(name)).map(text::str) else {
            return Ok(());
        };
        if self.source.has_input(&name) {
            return Ok(());
        }
        Err(Diagnostic::new(
            Exception::UnknownInput,
            None,
            format!("get_input asks for an unknown input '{name}'"),
        )
        .did_you_mean(&name, self.source.input_names())
        .into())
    }

    /// Without functions among its arguments the property can be looked up at once.
    fn get_property(&self, call: &Call<'_>) -> Result<(), DslError> {
        let path = call.args.as_array().map_or(&[][..], List::as_slice);
        if path.iter().any(call::is_call) {
            return Ok(());
        }
        let Some((node, steps)) = path.split_first() else {
            return Ok(());
        };
        let name = property_owner(node, self.scope)?.node;
        let properties = self
            .source
            .node(&name)
            .ok_or_else(|| key_error(format!("get_property refers to an unknown node '{name}'")))?;
        match find_property(properties, steps) {
            Some(_) => Ok(()),
            None => Err(missing_property(&name, steps, self.scope)),
        }
    }

    fn get_attribute(&self, call: &Call<'_>) -> Result<(), DslError> {
        let name = call.kind.name();
        let Some(node) = call.args.get(0).filter(|node| !call::is_call(node)) else {
            return Ok(());
        };
        let node = text::str(node);
        let is_keyword = matches!(node.as_str(), "SELF" | "SOURCE" | "TARGET");
        if !is_keyword {
            if self.source.node(&node).is_some() {
                return Ok(());
            }
            return Err(key_error(format!(
                "{name} refers to an unknown node '{node}'"
            )));
        }
        let allowed = match self.scope {
            Scope::Node(_) => node == "SELF",
            Scope::Relationship { .. } => node != "SELF",
            Scope::Section("outputs") | Scope::Runtime(_) => false,
            Scope::Section(section) => {
                return Err(key_error(format!("{node} means nothing in {section}")));
            }
        };
        if allowed {
            return Ok(());
        }
        Err(value_error(format!(
            "{name} cannot use {node} in {}",
            self.scope
        )))
    }
}

fn get_sys(args: &Value) -> Result<(), DslError> {
    let (Some(entity), Some(property)) = (args.get(0), args.get(1)) else {
        return Ok(());
    };
    if call::is_call(entity) {
        return Ok(());
    }
    let entity = text::str(entity);
    let known: &[&str] = match entity.as_str() {
        "tenant" => &["name"],
        "deployment" => &["id", "name", "blueprint", "owner"],
        _ => {
            return Err(DslError::new(
                Exception::UnknownSysEntity,
                None,
                format!("get_sys knows no entity '{entity}'"),
            ));
        }
    };
    if call::is_call(property) || property.as_str().is_some_and(|name| known.contains(&name)) {
        return Ok(());
    }
    Err(DslError::new(
        Exception::UnknownSysProperty,
        None,
        format!(
            "get_sys knows no property {} of {entity}",
            text::repr(property)
        ),
    ))
}
