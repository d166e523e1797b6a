//! Types that derive from one another: parents before children, cycles refused.

use crate::dsl::value::Map;
use indexmap::IndexMap;

use super::context::{Context, map, text};
use crate::dsl::diagnostics::{Diagnostic, Path};

/// The names of a section so ordered that every type follows what it depends on.
///
/// `dependencies` names, for one type, the others it needs; names outside the section are ignored.
pub(super) fn order<'a>(
    context: &Context<'_>,
    section: &str,
    types: &'a Map,
    dependencies: impl Fn(&'a Map) -> Vec<&'a str>,
) -> Result<Vec<&'a str>, Diagnostic> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        Open,
        Done,
    }
    let mut states: IndexMap<&str, State> = IndexMap::with_capacity(types.len());
    let mut ordered = Vec::with_capacity(types.len());
    for name in types.keys() {
        let mut stack = vec![(&**name, None::<std::vec::IntoIter<&str>>)];
        while let Some((current, pending)) = stack.last_mut() {
            let current = *current;
            let pending = match pending {
                Some(pending) => pending,
                None if states.get(current) == Some(&State::Done) => {
                    stack.pop();
                    continue;
                }
                None => {
                    states.insert(current, State::Open);
                    pending.insert(dependencies(map(types.get(current))).into_iter())
                }
            };
            let next = pending.find(|next| types.contains_key(next));
            let Some(next) = next else {
                states.insert(current, State::Done);
                ordered.push(current);
                stack.pop();
                continue;
            };
            match states.get(next) {
                Some(State::Done) => {}
                Some(State::Open) => return Err(cycle(context, section, next, &stack)),
                None => stack.push((next, None)),
            }
        }
    }
    Ok(ordered)
}

fn cycle<T>(context: &Context<'_>, section: &str, name: &str, stack: &[(&str, T)]) -> Diagnostic {
    let mut names: Vec<_> = stack
        .iter()
        .map(|(name, _)| *name)
        .skip_while(|open| *open != name)
        .collect();
    names.push(name);
    let message = format!("circular dependency: {}", names.join(" -> "));
    context.logic(100, message, Path::from([section, name]))
}

/// The parent a type names; it must exist.
pub(super) fn parent<'a>(
    context: &Context<'_>,
    section: &str,
    name: &str,
    types: &'a Map,
) -> Result<Option<&'a str>, Diagnostic> {
    let Some(parent) = text(map(types.get(name)), "derived_from") else {
        return Ok(None);
    };
    if types.contains_key(parent) {
        return Ok(Some(parent));
    }
    let message = format!("'{name}' derives from '{parent}', which is not defined");
    Err(context
        .logic(103, message, Path::from([section, name, "derived_from"]))
        .expected(format!("the name of an item of {section}"))
        .did_you_mean(parent, types.names()))
}
