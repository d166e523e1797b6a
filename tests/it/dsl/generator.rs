//! Random blueprints: nearly all valid, made of every section of the language. What they are
//! follows from a seed and a size alone.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Value, json};

use stratalog::dsl::types::BuiltIn;

use super::types_of;

mod templates;

/// A blueprint with its imports and a deployment's inputs.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// Files by name.
    pub(super) files: Map<String, Value>,
    /// Inputs of the deployment.
    pub(super) inputs: Value,
    /// The built-in types that its version of the language has.
    pub(super) types: &'static str,
}

pub(super) const MAIN: &str = "blueprint.yaml";
const PART: &str = "part.yaml";
/// The first version of the language whose types come with the manager.
const OLDEST_TYPES: u8 = 3;
/// Stands for them in older versions.
const OWN_TYPES: &str = "types.yaml";

const BUILT_IN: [&str; 5] = [
    "cloudify.nodes.Root",
    "cloudify.nodes.ApplicationServer",
    "cloudify.nodes.DBMS",
    "cloudify.nodes.Network",
    "cloudify.nodes.SoftwareComponent",
];
const RELATIONSHIPS: [&str; 3] = [
    "cloudify.relationships.connected_to",
    "cloudify.relationships.depends_on",
    "cloudify.relationships.contained_in",
];
const HOST: &str = "cloudify.nodes.Compute";
const LIFECYCLE: &str = "cloudify.interfaces.lifecycle";
const RELATIONSHIP_LIFECYCLE: &str = "cloudify.interfaces.relationship_lifecycle";

/// Makes the case of a seed; `size` bounds how many of everything there are.
pub(super) fn case(seed: u64, size: usize) -> Case {
    let mut rng = StdRng::seed_from_u64(seed);
    let version = match rng.random_bool(0.8) {
        true => rng.random_range(OLDEST_TYPES..=5),
        false => rng.random_range(0..OLDEST_TYPES),
    };
    let namespace = rng.random_bool(0.3).then_some("ns");
    let has_part = rng.random_bool(0.5);
    let mut main = Maker::new(&mut rng, version, size, "");
    let mut document = main.document();
    let inputs = main.given();
    let mut files = Map::new();
    if has_part {
        let import = match namespace {
            Some(namespace) => format!("{namespace}--{PART}"),
            None => PART.to_owned(),
        };
        if let Some(imports) = document["imports"].as_array_mut() {
            imports.push(import.into());
        }
        let small = (size / 2).max(1);
        let part = Maker::new(&mut rng, version, small, "p_").part(namespace.is_some());
        files.insert(PART.to_owned(), text(&part));
    }
    files.insert(MAIN.to_owned(), text(&document));
    if version < OLDEST_TYPES {
        files.insert(OWN_TYPES.to_owned(), text(&own_types(version)));
    }
    Case {
        files,
        inputs,
        types: types_of(&format!("1_{version}")),
    }
}

/// The types that blueprints stand on, in a version of the language that none come with.
fn own_types(version: u8) -> Value {
    let declared = |names: [&str; 4]| {
        let operations: Map<String, Value> = names
            .map(|name| (name.to_owned(), json!({})))
            .into_iter()
            .collect();
        operations
    };
    let mut nodes = Map::new();
    for name in BUILT_IN.into_iter().chain([HOST]) {
        nodes.insert(name.to_owned(), json!({"derived_from": BUILT_IN[0]}));
    }
    let lifecycle = declared(["create", "configure", "start", "stop"]);
    nodes.insert(
        BUILT_IN[0].to_owned(),
        json!({"interfaces": {LIFECYCLE: lifecycle}}),
    );
    let mut relationships = Map::new();
    for name in RELATIONSHIPS {
        relationships.insert(name.to_owned(), json!({"derived_from": RELATIONSHIPS[1]}));
    }
    let lifecycle = declared(["preconfigure", "establish", "unlink", "update"]);
    relationships.insert(
        RELATIONSHIPS[1].to_owned(),
        json!({
            "source_interfaces": {RELATIONSHIP_LIFECYCLE: lifecycle},
            "target_interfaces": {RELATIONSHIP_LIFECYCLE: lifecycle},
            "properties": {"connection_type": {"default": "all_to_all"}},
        }),
    );
    json!({
        "tosca_definitions_version": format!("cloudify_dsl_1_{version}"),
        "node_types": nodes,
        "relationships": relationships,
    })
}

/// JSON is YAML.
fn text(document: &Value) -> Value {
    format!("{document:#}").into()
}

struct Maker<'a> {
    rng: &'a mut StdRng,
    version: u8,
    size: usize,
    prefix: &'static str,
    inputs: Vec<(String, &'static str)>,
    data_types: Vec<String>,
    node_types: Vec<String>,
    relationships: Vec<String>,
    plugins: Vec<String>,
    nodes: Vec<String>,
}

impl<'a> Maker<'a> {
    fn new(rng: &'a mut StdRng, version: u8, size: usize, prefix: &'static str) -> Self {
        Self {
            rng,
            version,
            size,
            prefix,
            inputs: Vec::new(),
            data_types: Vec::new(),
            node_types: Vec::new(),
            relationships: Vec::new(),
            plugins: Vec::new(),
            nodes: Vec::new(),
        }
    }

    fn types_file(&self) -> &'static str {
        match self.version < OLDEST_TYPES {
            true => OWN_TYPES,
            false => BuiltIn::PATH,
        }
    }

    /// Mostly the manager: a host's agent needs every node with it to stand on a host.
    fn executor(&mut self) -> &'static str {
        match self.chance(0.03) {
            true => "host_agent",
            false => "central_deployment_agent",
        }
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    fn count(&mut self) -> usize {
        self.rng.random_range(0..=self.size)
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of.choose(self.rng).expect("there is one").clone()
    }

    fn name(&mut self, kind: &str, nth: usize) -> String {
        format!("{}{kind}{nth}", self.prefix)
    }

    fn document(&mut self) -> Value {
        let mut document = json!({
            "tosca_definitions_version": format!("cloudify_dsl_1_{}", self.version),
            "imports": [self.types_file()],
        });
        self.fill(&mut document);
        if self.chance(0.3) {
            document["labels"] = json!({"env": {"values": ["a", "b"]}, "tier": {"values": ["c"]}});
        }
        if self.chance(0.2) {
            document["blueprint_labels"] = json!({"kind": {"values": ["demo"]}});
        }
        if self.chance(0.2) {
            document["metadata"] = json!({"author": "somebody", "tags": [1, 2.5, null]});
        }
        if self.version >= 2 && self.chance(0.3) {
            document["description"] = "made at random".into();
        }
        document
    }

    /// What is imported: with a namespace nearly everything may come again.
    fn part(&mut self, _has_namespace: bool) -> Value {
        let mut document = json!({
            "tosca_definitions_version": format!("cloudify_dsl_1_{}", self.version),
            "imports": [self.types_file()],
        });
        if self.version >= 3 {
            self.fill(&mut document);
        } else {
            self.plugins(&mut document);
            self.types(&mut document);
        }
        document
    }

    fn fill(&mut self, document: &mut Value) {
        self.inputs(document);
        self.plugins(document);
        self.types(document);
        self.node_templates(document);
        self.groups(document);
        self.workflows(document);
        self.results(document);
    }

    /// Inputs that the deployment is given.
    fn given(&mut self) -> Value {
        let inputs = self.inputs.clone();
        let mut given = Map::new();
        for (name, kind) in inputs {
            if self.chance(0.4) {
                let value = self.literal(kind);
                given.insert(name, value);
            }
        }
        given.into()
    }

    fn literal(&mut self, kind: &str) -> Value {
        let number = self.rng.random_range(-3..40);
        match kind {
            "integer" => number.into(),
            "float" => (f64::from(number) / 4.0).into(),
            "boolean" => self.chance(0.5).into(),
            "list" => json!([number, "x", [true]]),
            "dict" => json!({"k": number, "inner": {"l": [number]}}),
            _ => self.pick(&["alpha", "b c", "", "10.0.0.1", "x.y-z"]).into(),
        }
    }

    fn inputs(&mut self, document: &mut Value) {
        let mut inputs = Map::new();
        for nth in 0..self.count() {
            let kind = self.pick(&["string", "integer", "float", "boolean", "list", "dict"]);
            let mut input = json!({"type": kind});
            let is_complex = matches!(kind, "list" | "dict");
            if is_complex && self.version < 1 {
                continue;
            }
            input["default"] = self.literal(kind);
            if self.chance(0.3) {
                input["description"] = "what it is".into();
            }
            if self.version >= 2 && self.chance(0.3) {
                input["constraints"] = self.constraints(kind);
            }
            let name = self.name("in", nth);
            self.inputs.push((name.clone(), kind));
            inputs.insert(name, input);
        }
        if !inputs.is_empty() {
            document["inputs"] = inputs.into();
        }
    }

    fn constraints(&mut self, kind: &str) -> Value {
        match kind {
            "integer" | "float" => json!([self.pick(&[
                json!({"in_range": [-10, 100]}),
                json!({"greater_or_equal": 0}),
                json!({"less_than": 35}),
            ])]),
            "string" => json!([self.pick(&[
                json!({"max_length": 7}),
                json!({"pattern": "^[a-z. -]*$"}),
                json!({"valid_values": ["alpha", "b c", "", "10.0.0.1", "x.y-z"]}),
            ])]),
            "list" | "dict" => json!([{"min_length": 1}]),
            _ => json!([]),
        }
    }

    fn plugins(&mut self, document: &mut Value) {
        let mut plugins = Map::new();
        for nth in 0..=self.count().min(3) {
            let executor = self.executor();
            // what is installed has to say what it is
            let is_installed = self.version >= 2 && self.chance(0.5);
            let mut plugin = json!({"executor": executor, "install": is_installed});
            if is_installed {
                let package = self.pick(&["cloudify-x-plugin", "cloudify-y-plugin"]);
                plugin["package_name"] = package.into();
                plugin["package_version"] = "1.2.0".into();
            }
            let name = self.name("plugin", nth);
            self.plugins.push(name.clone());
            plugins.insert(name, plugin);
        }
        document["plugins"] = plugins.into();
    }

    fn types(&mut self, document: &mut Value) {
        if self.version >= 2 {
            let mut types = Map::new();
            for nth in 0..self.count().min(4) {
                let mut data_type = json!({"properties": self.schemas()});
                if let Some(parent) = self.data_types.choose(self.rng)
                    && self.rng.random_bool(0.4)
                {
                    data_type["derived_from"] = parent.clone().into();
                }
                let name = self.name("data", nth);
                types.insert(name.clone(), data_type);
                self.data_types.push(name);
            }
            document["data_types"] = types.into();
        }
        let mut types = Map::new();
        for nth in 0..self.count() {
            let mut parents: Vec<String> = BUILT_IN.map(str::to_owned).to_vec();
            parents.push(HOST.to_owned());
            parents.extend(self.node_types.iter().cloned());
            let node_type = json!({
                "derived_from": self.pick(&parents),
                "properties": self.schemas(),
                "interfaces": self.interfaces(LIFECYCLE, true),
            });
            let name = self.name("type", nth);
            types.insert(name.clone(), node_type);
            self.node_types.push(name);
        }
        document["node_types"] = types.into();
        let mut types = Map::new();
        for nth in 0..self.count().min(3) {
            let mut parents: Vec<String> =
                RELATIONSHIPS[..2].iter().map(|&r| r.to_owned()).collect();
            parents.extend(self.relationships.iter().cloned());
            let mut relationship = json!({
                "derived_from": self.pick(&parents),
                "source_interfaces": self.interfaces(RELATIONSHIP_LIFECYCLE, true),
                "target_interfaces": self.interfaces(RELATIONSHIP_LIFECYCLE, true),
            });
            if self.chance(0.5) {
                relationship["properties"] = json!({
                    "connection_type": {"default": self.pick(&["all_to_all", "all_to_one"])},
                });
            }
            let name = self.name("rel", nth);
            types.insert(name.clone(), relationship);
            self.relationships.push(name);
        }
        document["relationships"] = types.into();
    }

    /// Property schemas whose defaults fit.
    fn schemas(&mut self) -> Value {
        let mut schemas = Map::new();
        for nth in 0..self.count().min(5) {
            let name = format!("prop{nth}");
            if !self.data_types.is_empty() && self.chance(0.25) {
                let data_type = self.pick(&self.data_types.clone());
                schemas.insert(name, json!({"type": data_type}));
                continue;
            }
            let kind = self.pick(&["string", "integer", "float", "boolean"]);
            let mut schema = Map::new();
            if self.chance(0.8) {
                schema.insert("type".into(), kind.into());
            }
            if self.chance(0.85) {
                schema.insert("default".into(), self.literal(kind));
            } else if self.version >= 2 {
                schema.insert("required".into(), false.into());
            }
            schemas.insert(name, schema.into());
        }
        schemas.into()
    }

    /// Operations, as types declare them or templates map them.
    fn interfaces(&mut self, name: &str, is_type: bool) -> Value {
        let mut operations = Map::new();
        let names = match name {
            LIFECYCLE => ["create", "configure", "start", "stop"],
            _ => ["preconfigure", "establish", "unlink", "update"],
        };
        for operation in names {
            if self.chance(0.4) {
                operations.insert(operation.to_owned(), self.operation(is_type));
            }
        }
        let mut interfaces = Map::new();
        if !operations.is_empty() {
            interfaces.insert(name.to_owned(), operations.into());
        }
        if self.chance(0.2) {
            let own = json!({"go": self.operation(is_type)});
            interfaces.insert("own".into(), own);
        }
        interfaces.into()
    }

    fn operation(&mut self, is_type: bool) -> Value {
        let plugin = self.pick(&self.plugins.clone());
        let implementation = format!("{plugin}.module.task");
        if self.chance(0.3) {
            return implementation.into();
        }
        if self.chance(0.1) {
            return json!({});
        }
        let mut operation = json!({"implementation": implementation});
        if self.chance(0.6) {
            let value = self.value();
            operation["inputs"] = match is_type {
                true => json!({"arg0": {"default": value, "description": "an argument"}}),
                false => json!({"arg0": value, "arg1": [value]}),
            };
        }
        if self.version >= 1 && self.chance(0.3) {
            operation["max_retries"] = self.rng.random_range(-1..5).into();
            operation["retry_interval"] = 1.5.into();
        }
        if self.chance(0.2) {
            operation["executor"] = self.executor().into();
        }
        operation
    }

    /// A literal or a function of what there is.
    fn value(&mut self) -> Value {
        match self.rng.random_range(0..10) {
            0 | 1 if !self.inputs.is_empty() => {
                let (name, _) = self.pick(&self.inputs.clone());
                json!({"get_input": name})
            }
            2 if !self.nodes.is_empty() => {
                let node = self.pick(&self.nodes.clone());
                json!({"get_attribute": [node, "address", 0]})
            }
            3 if self.version >= 1 => {
                let parts = [
                    self.value(),
                    self.literal("string"),
                    self.literal("integer"),
                ];
                json!({"concat": parts})
            }
            4 => json!({"get_secret": self.pick(&["token", "key"])}),
            5 if self.version >= 3 => json!({"merge": [{"a": 1}, {"b": self.literal("string")}]}),
            6 => json!({"nested": {"list": [self.literal("integer"), self.literal("string")]}}),
            7 => json!({"get_capability": ["other", "endpoint"]}),
            _ => self.literal("string"),
        }
    }
}
