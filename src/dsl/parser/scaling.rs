//! Scaling groups: what the policies make of groups, and which members containment already implies.

use crate::dsl::value::{Map, Value, object};
use indexmap::IndexMap;

use super::context::{Context, map};
use super::nodes::Nodes;
use crate::dsl::diagnostics::{Diagnostic, Path};

/// The `scaling_groups` section of the plan.
pub(super) fn read(
    context: &Context<'_>,
    groups: &Map,
    policies: &Map,
    nodes: &Nodes,
) -> Result<Map, Diagnostic> {
    let mut scaling = Scaling {
        context,
        nodes,
        members: IndexMap::new(),
        parents: IndexMap::new(),
    };
    let mut properties = IndexMap::new();
    for policy in policies.values() {
        let targets = policy.get("targets").and_then(Value::as_array);
        for target in targets.into_iter().flatten().filter_map(Value::as_str) {
            let members = map(groups.get(target))
                .get("members")
                .and_then(Value::as_array);
            let members = members.into_iter().flatten().filter_map(Value::as_str);
            scaling.members.insert(target, members.collect());
            properties.insert(target, policy.get("properties"));
        }
    }
    scaling.check_cycles()?;
    scaling.find_parents()?;
    scaling.check_containment()?;
    scaling.drop_implied();
    let group = |(name, members): (&&str, &Vec<&str>)| {
        let fields =
            Value::Object(object! { "members": members, "properties": properties.get(name) });
        ((*name).to_owned(), fields)
    };
    Ok(scaling.members.iter().map(group).collect())
}

struct Scaling<'a> {
    context: &'a Context<'a>,
    nodes: &'a Nodes,
    /// Group to its direct members.
    members: IndexMap<&'a str, Vec<&'a str>>,
    /// Member to the one group it is in.
    parents: IndexMap<&'a str, &'a str>,
}

impl<'a> Scaling<'a> {
    fn check_cycles(&self) -> Result<(), Diagnostic> {
        for start in self.members.keys() {
            let mut seen = vec![*start];
            let mut open: Vec<&str> = self
                .members
                .get(start)
                .into_iter()
                .flatten()
                .copied()
                .collect();
            while let Some(name) = open.pop() {
                if name == *start {
                    let message = format!("the group '{start}' contains itself");
                    return Err(self
                        .context
                        .logic(200, message, Path::from(["groups", start])));
                }
                if !seen.contains(&name) {
                    seen.push(name);
                    open.extend(self.members.get(name).into_iter().flatten());
                }
            }
        }
        Ok(())
    }

    fn find_parents(&mut self) -> Result<(), Diagnostic> {
        for (group, members) in &self.members {
            for member in members {
                if let Some(other) = self.parents.insert(member, group) {
                    let message =
                        format!("'{member}' is in two scaling groups, '{other}' and '{group}'");
                    return Err(self
                        .context
                        .logic(201, message, Path::from(["groups", group])));
                }
            }
        }
        Ok(())
    }

    /// The nodes of a group, those of nested groups included.
    fn all_nodes(&self, group: &str) -> Vec<&'a str> {
        let mut nodes = Vec::new();
        let mut open = vec![group];
        while let Some(name) = open.pop() {
            for member in self.members.get(name).into_iter().flatten() {
                if self.members.contains_key(member) {
                    open.push(member);
                } else {
                    nodes.push(*member);
                }
            }
        }
        nodes
    }

    /// The nodes a node is contained in, innermost first.
    fn containers(&self, node: &str) -> Vec<&'a str> {
        let mut containers = Vec::new();
        let mut current = self.nodes.get(node).and_then(|node| node.container());
        while let Some(container) = current {
            containers.push(container);
            current = self.nodes.get(container).and_then(|node| node.container());
        }
        containers
    }

    /// Members must scale as one: side by side at the top, inside one another, or inside a common
    /// node.
    fn check_containment(&self) -> Result<(), Diagnostic> {
        for group in self.members.keys() {
            let nodes = self.all_nodes(group);
            let containers: IndexMap<&str, Vec<&str>> = nodes
                .iter()
                .map(|node| (*node, self.containers(node)))
                .collect();
            let is_good = |left: &str, right: &str| -> bool {
                let none = Vec::new();
                let of_left = containers.get(left).unwrap_or(&none);
                let of_right = containers.get(right).unwrap_or(&none);
                (of_left.is_empty() && of_right.is_empty())
                    || of_left.contains(&right)
                    || of_right.contains(&left)
                    || of_left.iter().any(|container| of_right.contains(container))
            };
            let goes_through = |left: &str, right: &str| {
                let of_left = containers.get(left).into_iter().flatten();
                let mut members = of_left.filter(|container| containers.contains_key(*container));
                members.any(|container| is_good(container, right))
            };
            for (position, left) in nodes.iter().enumerate() {
                for right in nodes.iter().skip(position + 1) {
                    if !is_good(left, right)
                        && !goes_through(left, right)
                        && !goes_through(right, left)
                    {
                        return Err(self.apart(group, left, right));
                    }
                }
            }
        }
        Ok(())
    }

    fn apart(&self, group: &str, left: &str, right: &str) -> Diagnostic {
        let message = format!("the members '{left}' and '{right}' cannot be scaled together");
        self.context
            .logic(202, message, Path::from(["groups", group, "members"]))
            .expected("members contained in a common node, in one another, or in nothing")
    }

    /// The groups around a member, innermost first.
    fn chain(&self, member: &str) -> Vec<&'a str> {
        let mut chain = Vec::new();
        let mut current = self.parents.get(member);
        while let Some(group) = current {
            chain.push(*group);
            current = self.parents.get(group);
        }
        chain
    }

    /// A node whose container is in the same group is there already.
    fn drop_implied(&mut self) {
        let mut dropped = Vec::new();
        for node in self.nodes.keys() {
            let chain = self.chain(node);
            if chain.is_empty() {
                continue;
            }
            for container in self.containers(node) {
                let of_container = self.chain(container);
                let shared = chain.iter().position(|group| of_container.contains(group));
                match shared {
                    Some(0) => dropped.push((chain.first().copied(), &**node)),
                    Some(position) => {
                        let below = chain.get(position - 1).copied().unwrap_or_default();
                        dropped.push((chain.get(position).copied(), below));
                    }
                    None => {}
                }
            }
        }
        let dropped: Vec<(String, String)> = dropped
            .into_iter()
            .filter_map(|(group, member)| Some((group?.to_owned(), member.to_owned())))
            .collect();
        for (group, member) in dropped {
            if let Some(members) = self.members.get_mut(group.as_str()) {
                members.retain(|name| *name != member);
            }
        }
    }
}
