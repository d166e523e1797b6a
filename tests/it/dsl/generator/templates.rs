//! What stands on the types: node templates, groups, workflows and results.

use rand::{Rng, seq::IndexedRandom};
use serde_json::{Map, Value, json};

use super::{BUILT_IN, HOST, LIFECYCLE, Maker, RELATIONSHIP_LIFECYCLE, RELATIONSHIPS};

impl Maker<'_> {
    pub(super) fn node_templates(&mut self, document: &mut Value) {
        let mut templates = Map::new();
        let mut hosts: Vec<String> = Vec::new();
        for nth in 0..=self.count() {
            let name = self.name("node", nth);
            let is_host = self.chance(0.3);
            let mut kinds = self.node_types.clone();
            kinds.extend(BUILT_IN.map(str::to_owned));
            let kind = match is_host {
                true => HOST.to_owned(),
                false => self.pick(&kinds),
            };
            let mut template = json!({"type": kind});
            if self.chance(0.5) {
                template["interfaces"] = self.interfaces(LIFECYCLE, false);
            }
            let relationships = self.links(&hosts);
            if !relationships.is_empty() {
                template["relationships"] = relationships.into();
            }
            let count = self.rng.random_range(1..4);
            if self.version >= 3 && self.chance(0.3) {
                template["capabilities"] =
                    json!({"scalable": {"properties": {"default_instances": count}}});
            } else if self.version < 3 && self.chance(0.3) {
                template["instances"] = json!({"deploy": count});
            }
            if is_host {
                hosts.push(name.clone());
            }
            self.nodes.push(name.clone());
            templates.insert(name, template);
        }
        document["node_templates"] = templates.into();
    }

    /// Relationships to earlier nodes; at most one of them contains.
    fn links(&mut self, hosts: &[String]) -> Vec<Value> {
        let mut links = Vec::new();
        if let Some(host) = hosts.choose(self.rng)
            && self.rng.random_bool(0.5)
        {
            links.push(json!({"type": RELATIONSHIPS[2], "target": host}));
        }
        let mut kinds: Vec<String> = RELATIONSHIPS[..2].iter().map(|&r| r.to_owned()).collect();
        kinds.extend(self.relationships.iter().cloned());
        let earlier = self.nodes.clone();
        for _ in 0..2 {
            if earlier.is_empty() || self.chance(0.5) {
                continue;
            }
            let mut link = json!({"type": self.pick(&kinds), "target": self.pick(&earlier)});
            if self.chance(0.3) {
                link["source_interfaces"] = self.interfaces(RELATIONSHIP_LIFECYCLE, false);
            }
            if self.chance(0.2) {
                link["properties"] = json!({"connection_type": "all_to_one"});
            }
            links.push(link);
        }
        links
    }

    pub(super) fn groups(&mut self, document: &mut Value) {
        if self.version < 3 || self.nodes.len() < 2 || !self.chance(0.4) {
            return;
        }
        let members = [self.pick(&self.nodes.clone())];
        let (group, policy) = (self.name("group", 0), self.name("policy", 0));
        document["groups"] = json!({group.clone(): {"members": members}});
        let count = self.rng.random_range(1..3);
        document["policies"] = json!({policy: {
            "type": "cloudify.policies.scaling",
            "properties": {"default_instances": count, "max_instances": 5},
            "targets": [group],
        }});
    }

    pub(super) fn workflows(&mut self, document: &mut Value) {
        if !self.chance(0.4) {
            return;
        }
        let plugin = self.pick(&self.plugins.clone());
        let name = self.name("workflow", 0);
        let mut workflow = json!({
            "mapping": format!("{plugin}.module.run"),
            "parameters": {
                "who": {"description": "whom", "default": self.literal("string")},
                "count": {"default": 3, "type": "integer"},
                "must": {},
            },
        });
        if self.chance(0.3) {
            workflow["is_cascading"] = true.into();
        }
        document["workflows"] =
            json!({name: workflow, self.name("short", 1): format!("{plugin}.m.r")});
    }

    pub(super) fn results(&mut self, document: &mut Value) {
        for section in ["outputs", "capabilities"] {
            let mut results = Map::new();
            for nth in 0..self.count().min(3) {
                let name = self.name(section, nth);
                results.insert(
                    name,
                    json!({"description": "a result", "value": self.value()}),
                );
            }
            if !results.is_empty() {
                document[section] = results.into();
            }
        }
    }
}
