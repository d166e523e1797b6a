//! The evaluation of a value: arguments first, then the call, then what the call returned.
//!
//! The walk is bounded three ways: in depth, because the reference is and clients rely on it; by
//! remembering which questions are being answered, so that a circle is an error and not a hang; and
//! in the total amount of output, so that a few lines that double each other cannot fill the
//! memory.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::dsl::value::{List, Map, Value};

use super::call::{self, Call};
use super::fault::{bad_input, failed, too_deep, value_error};
use super::kind::Kind;
use super::scope::{Party, Scope};
use super::survey::survey;
use super::walk::{Walked, dotted, walk};
use super::{shape, strings, text};
use crate::dsl::{DslError, Exception};

/// Maps and lists within each other, the outermost counted.
pub(super) const DEPTH_MAX: usize = 50;
/// Values one evaluation may visit.
const VISITS_MAX: usize = 2_000_000;

/// What answers the questions functions ask.
pub(crate) trait Source {
    fn input(&self, name: &str) -> Result<Option<Cow<'_, Value>>, DslError>;
    fn properties(&self, node: &str) -> Result<Option<Cow<'_, Value>>, DslError>;
    /// Answers a function that needs a deployment; nothing when the call has to stay. Parts of the
    /// answer that need another scope than the whole are evaluated with `evaluate`.
    fn ask(
        &self,
        call: &Call<'_>,
        scope: &Scope,
        evaluate: &mut Nested<'_>,
    ) -> Result<Option<Answer>, DslError>;
}

/// Evaluates a value inside the evaluation of another.
pub(crate) type Nested<'e> = dyn FnMut(Value, &Scope) -> Result<Value, DslError> + 'e;

/// An answer, and the scope in which calls inside it are evaluated.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) value: Value,
    pub(crate) scope: Scope,
}

#[derive(Debug)]
pub(crate) struct Evaluator<'s, S> {
    source: &'s S,
    /// Properties other nodes asked for, evaluated.
    properties: HashMap<String, Value>,
    /// Questions whose answers are being worked out.
    open: HashSet<String>,
    visits: usize,
    /// Inputs that hold calls, as far as asking for them evaluated them.
    delivered: Vec<Delivered>,
}

/// Part of an input with the arguments of its calls evaluated. The plan of a deployment shows its
/// inputs like that.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) input: String,
    pub(crate) path: Vec<Value>,
    pub(crate) value: Value,
}

enum Step {
    Keep,
    Done(Value),
    /// The answer may hold calls itself.
    Again {
        answer: Answer,
        question: String,
        /// The input it comes from, if it does and holds calls.
        input: Option<(String, Vec<Value>)>,
    },
}

impl<'s, S: Source> Evaluator<'s, S> {
    pub(crate) fn new(source: &'s S) -> Self {
        Self {
            source,
            properties: HashMap::new(),
            open: HashSet::new(),
            visits: 0,
            delivered: Vec::new(),
        }
    }

    pub(crate) fn into_delivered(self) -> Vec<Delivered> {
        self.delivered
    }

    /// Evaluates what is in a place of the plan or in a payload. The outermost map is never a call
    /// itself.
    pub(crate) fn evaluate(&mut self, value: Value, scope: &Scope) -> Result<Value, DslError> {
        self.open.clear();
        self.visits = 0;
        match value {
            Value::Object(mut map) => {
                for item in map.values_mut() {
                    *item = self.value(item.take(), scope, 1)?;
                }
                Ok(Value::Object(map))
            }
            other => self.value(other, scope, 0),
        }
    }

    fn value(&mut self, value: Value, scope: &Scope, depth: usize) -> Result<Value, DslError> {
        let known = survey(&value);
        if !known.has_calls && depth + known.depth <= DEPTH_MAX {
            // Whoever reads the result will meet all of it, shared or not.
            self.charge(known.size)?;
            return Ok(value);
        }
        self.charge(1)?;
        match value {
            Value::Array(items) => {
                let depth = deeper(depth)?;
                items
                    .into_iter()
                    .map(|item| self.value(item, scope, depth))
                    .collect::<Result<_, _>>()
                    .map(Value::Array)
            }
            Value::Object(map) => self.object(map, scope, depth),
            scalar => Ok(scalar),
        }
    }

    fn charge(&mut self, visits: usize) -> Result<(), DslError> {
        self.visits = self.visits.saturating_add(visits);
        if self.visits > VISITS_MAX {
            return Err(too_deep(format!(
                "evaluating functions produces more than {VISITS_MAX} values"
            )));
        }
        Ok(())
    }

    fn object(&mut self, map: Map, scope: &Scope, depth: usize) -> Result<Value, DslError> {
        let mut asked = Vec::new();
        let result = self.follow(map, scope, depth, &mut asked);
        for (question, is_property) in asked {
            self.open.remove(&question);
            if is_property && let Ok(answer) = &result {
                self.properties.insert(question, answer.clone());
            }
        }
        result
    }

    /// Evaluates a map and, as long as the result is a call again, that one too.
    fn follow(
        &mut self,
        map: Map,
        scope: &Scope,
        depth: usize,
        asked: &mut Vec<(String, bool)>,
    ) -> Result<Value, DslError> {
        let depth = deeper(depth)?;
        let mut map = map;
        let mut scope = Cow::Borrowed(scope);
        let mut from = None;
        loop {
            for value in map.values_mut() {
                *value = self.value(value.take(), &scope, depth)?;
            }
            self.deliver(from.take(), || Value::Object(map.clone()));
            let Some(called) = call::recognise(&map) else {
                return Ok(Value::Object(map));
            };
            shape::check(called.kind, called.args)?;
            let is_property = called.kind == Kind::GetProperty;
            match self.step(&called, &scope, depth)? {
                Step::Keep => return Ok(Value::Object(map)),
                Step::Done(value) => {
                    self.charge(value.as_str().map_or(1, |text| 1 + text.len() / 16))?;
                    return Ok(value);
                }
                Step::Again {
                    answer,
                    question,
                    input,
                } => {
                    if is_property && let Some(known) = self.properties.get(&question) {
                        return Ok(known.clone());
                    }
                    if !self.open.insert(question.clone()) {
                        return Err(refers_to_itself(&question));
                    }
                    asked.push((question, is_property));
                    match answer.value {
                        Value::Object(next) if call::recognise(&next).is_some() => {
                            self.charge(1)?;
                            map = next;
                            scope = Cow::Owned(answer.scope);
                            from = input;
                        }
                        other => {
                            let value = self.value(other, &answer.scope, depth - 1)?;
                            self.deliver(input, || value.clone());
                            return Ok(value);
                        }
                    }
                }
            }
        }
    }

    fn deliver(&mut self, from: Option<(String, Vec<Value>)>, value: impl FnOnce() -> Value) {
        if let Some((input, path)) = from {
            self.delivered.push(Delivered {
                input,
                path,
                value: value(),
            });
        }
    }

    fn step(&mut self, call: &Call<'_>, scope: &Scope, depth: usize) -> Result<Step, DslError> {
        let items = call.args.as_array().map_or(&[][..], List::as_slice);
        match call.kind {
            Kind::Concat => Ok(strings::concat(items).map_or(Step::Keep, Step::Done)),
            Kind::Merge => Ok(strings::merge(items)?.map_or(Step::Keep, Step::Done)),
            Kind::StringFind
            | Kind::StringLower
            | Kind::StringReplace
            | Kind::StringSplit
            | Kind::StringUpper => strings::evaluate(call.kind, call.args).map(Step::Done),
            Kind::GetInput => self.get_input(call, scope),
            Kind::GetProperty => self.get_property(items, scope, depth),
            _ => self.ask(call, scope, depth),
        }
    }

    fn ask(&mut self, call: &Call<'_>, scope: &Scope, depth: usize) -> Result<Step, DslError> {
        let arguments = text::repr(call.args);
        let question = format!("{}: {arguments} in {scope:?}", call.kind.name());
        if !self.open.insert(question.clone()) {
            let name = call.kind.name();
            return Err(refers_to_itself(&format!("{name}: {arguments} in {scope}")));
        }
        let source = self.source;
        let answer = source.ask(call, scope, &mut |value, scope| {
            self.value(value, scope, depth)
        });
        self.open.remove(&question);
        Ok(match answer? {
            None => Step::Keep,
            Some(answer) => Step::Again {
                answer,
                question,
                input: None,
            },
        })
    }

    fn get_input(&self, call: &Call<'_>, scope: &Scope) -> Result<Step, DslError> {
        let path = match call.args {
            Value::Array(path) => path.as_slice(),
            single => std::slice::from_ref(single),
        };
        if let Some(unresolved) = path.iter().find_map(call::of) {
            return Err(failed(format!(
                "get_input cannot wait for {}, which only a deployment can answer",
                unresolved.kind.name()
            )));
        }
        let (name, steps) = path
            .split_first()
            .map_or((String::new(), path), |(name, steps)| {
                (text::str(name), steps)
            });
        let input = self.source.input(&name)?.ok_or_else(|| {
            DslError::new(
                Exception::UnknownInput,
                None,
                format!("get_input asks for an unknown input '{name}'"),
            )
        })?;
        let found = match walk(&input, steps) {
            Walked::Found(found) => found,
            Walked::Missing(stopped, position) => {
                let path = dotted(steps.get(..=position).unwrap_or(steps));
                return Err(missing_input(&name, &path, stopped));
            }
        };
        if let Some(wanted) = call.returns.filter(|wanted| !wanted.is_null())
            && !fits_type(found, wanted)
        {
            return Err(bad_input(format!(
                "input '{name}' has the value {}, which is not of type {}",
                text::repr(found),
                text::str(wanted)
            )));
        }
        let question = format!("input '{name}' {} in {scope}", dotted(steps));
        let answer = Answer {
            value: found.clone(),
            scope: scope.clone(),
        };
        let input = call::contains_call(found).then(|| (name, steps.to_vec()));
        Ok(Step::Again {
            answer,
            question,
            input,
        })
    }

    fn get_property(
        &mut self,
        path: &[Value],
        scope: &Scope,
        depth: usize,
    ) -> Result<Step, DslError> {
        if let Some(unresolved) = path.iter().find_map(call::of) {
            return Err(failed(format!(
                "get_property cannot wait for {}, which only a deployment can answer",
                unresolved.kind.name()
            )));
        }
        let Some((node, steps)) = path.split_first() else {
            return Ok(Step::Keep);
        };
        let party = property_owner(node, scope)?;
        let name = party.node.clone();
        let properties = self.source.properties(&name)?.ok_or_else(|| {
            super::fault::key_error(format!("get_property refers to an unknown node '{name}'"))
        })?;
        let found = find_property(&properties, steps)
            .ok_or_else(|| missing_property(&name, steps, scope))?;
        let scope = Scope::Node(party.clone());
        let value = match found {
            Property::Value(value) => value.clone(),
            Property::Inside(call, key) => {
                let whole = self.value(call.clone(), &scope, depth)?;
                if call::is_call(&whole) {
                    return Ok(Step::Done(Value::from(vec![whole, key.clone()])));
                }
                match walk(&whole, std::slice::from_ref(key)) {
                    Walked::Found(value) => value.clone(),
                    Walked::Missing(..) => return Err(missing_property(&name, steps, &scope)),
                }
            }
        };
        let question = format!("property {} of {party}", text::repr(&Value::from(steps)));
        let answer = Answer { value, scope };
        Ok(Step::Again {
            answer,
            question,
            input: None,
        })
    }
}

fn refers_to_itself(question: &str) -> DslError {
    too_deep(format!("{question} refers to itself"))
}

fn deeper(depth: usize) -> Result<usize, DslError> {
    if depth >= DEPTH_MAX {
        return Err(too_deep(format!(
            "a value with functions is nested deeper than {DEPTH_MAX} levels"
        )));
    }
    Ok(depth + 1)
}

/// What a path leads to among the properties of a node.
pub(super) enum Property<'v> {
    Value(&'v Value),
    /// A call stands before the last step of the path.
    Inside(&'v Value, &'v Value),
}

/// Follows a path; a call met before the last step ends it, and no path leads further.
pub(super) fn find_property<'v>(properties: &'v Value, steps: &'v [Value]) -> Option<Property<'v>> {
    let mut current = properties;
    for (position, step) in steps.iter().enumerate() {
        if position > 0 && call::is_call(current) {
            return (position + 1 == steps.len()).then_some(Property::Inside(current, step));
        }
        match walk(current, std::slice::from_ref(step)) {
            Walked::Found(next) => current = next,
            Walked::Missing(..) => return None,
        }
    }
    Some(Property::Value(current))
}

pub(super) fn missing_property(node: &str, steps: &[Value], scope: &Scope) -> DslError {
    failed(format!(
        "node '{node}' has no property '{}', which {scope} asks for",
        dotted(steps)
    ))
}

fn missing_input(name: &str, path: &str, stopped: &Value) -> DslError {
    match stopped {
        Value::Object(_) => bad_input(format!("input '{name}' has no attribute '{path}'")),
        Value::Array(_) => bad_input(format!("input '{name}' has no item at '{path}'")),
        _ => failed(format!("input '{name}' holds no map or list at '{path}'")),
    }
}

/// Whether a value is of the primitive type a call says it returns.
fn fits_type(value: &Value, wanted: &Value) -> bool {
    wanted
        .as_str()
        .is_some_and(|name| crate::dsl::constraints::is_of_primitive_type(value, name))
}

pub(super) fn property_owner(node: &Value, scope: &Scope) -> Result<Party, DslError> {
    let name = text::str(node);
    if let Some(party) = scope.node_keyword(&name) {
        return Ok(party.clone());
    }
    match name.as_str() {
        "SELF" => Err(value_error(format!(
            "SELF means nothing in {scope}, only in a node template"
        ))),
        "SOURCE" | "TARGET" => Err(value_error(format!(
            "{name} means nothing in {scope}, only in a relationship"
        ))),
        _ => Ok(Party::node(&name)),
    }
}
