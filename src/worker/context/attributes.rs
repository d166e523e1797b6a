//! What the places of a walk have as attributes.
use serde_json::{Map, Value, json};

use super::{
    Context, ContextError, Side,
    evaluate::{Method, Place},
};
use crate::worker::text;

impl Context {
    pub(super) async fn root(&mut self, name: &str) -> Result<Option<Place>, ContextError> {
        let context = &self.task.context;
        let plain = |name: &str| self.task.raw_context.get(name).cloned().unwrap_or_default();
        let place = match name {
            "type" => Place::Value(json!(self.kind())),
            "task_type" => Place::Value(json!(context.kind)),
            "task_id"
            | "task_name"
            | "task_target"
            | "task_queue"
            | "execution_id"
            | "execution_token"
            | "workflow_id"
            | "rest_host"
            | "rest_port"
            | "rest_token"
            | "rest_ssl_cert"
            | "timeout"
            | "timeout_recoverable"
            | "bypass_maintenance"
            | "resume"
            | "execution_creator_username"
            | "workflow_parameters" => Place::Value(plain(name)),
            "execution_env" => {
                Place::Value(json!(context.execution_env.clone().unwrap_or_default()))
            }
            "tenant_name" => Place::Value(json!(context.tenant.name)),
            "tenant" => Place::Properties(self.tenant().await?),
            "plugin" => Place::Plugin,
            "operation" => Place::Operation,
            "capabilities" => Place::Capabilities,
            "agent" => Place::Agent,
            "logger" => Place::Logger,
            "deployment" => record("DeploymentContext", self.deployment_fields()),
            "blueprint" => record("BlueprintContext", json!({"id": context.blueprint_id})),
            "node" => self.subject(Side::Own).map(|_| Place::Node(Side::Own))?,
            "instance" => self
                .subject(Side::Own)
                .map(|_| Place::Instance(Side::Own))?,
            "source" => self
                .subject(Side::Source)
                .map(|_| Place::Subject(Side::Source))?,
            "target" => self
                .subject(Side::Target)
                .map(|_| Place::Subject(Side::Target))?,
            "provider_context" => Place::Value(self.provider_context().await?),
            "bootstrap_context" => {
                let provider = self.provider_context().await?;
                record(
                    "BootstrapContext",
                    provider.get("cloudify").cloned().unwrap_or_default(),
                )
            }
            _ => return Ok(root_method(name).map(Place::Method)),
        };
        Ok(Some(place))
    }

    async fn tenant(&self) -> Result<Map<String, Value>, ContextError> {
        let name = self.task.context.tenant.name.as_str();
        let mut fields = self.task.context.tenant.extra.clone();
        fields.insert("name".to_owned(), json!(name));
        if let Value::Object(known) = self.session.get(&["tenants", name], &[]).await? {
            fields.extend(known);
        }
        Ok(fields)
    }

    async fn provider_context(&self) -> Result<Value, ContextError> {
        let answer = self.session.get(&["provider", "context"], &[]).await?;
        Ok(answer.get("context").cloned().unwrap_or_default())
    }

    pub(super) async fn node_attribute(
        &mut self,
        side: Side,
        name: &str,
    ) -> Result<Option<Place>, ContextError> {
        Ok(match name {
            "id" | "name" => Some(Place::Value(json!(self.subject(side)?.node_name))),
            "properties" => {
                let properties = self.node(side).await?.get("properties").cloned();
                Some(Place::Properties(object(properties)))
            }
            "type" | "type_hierarchy" | "number_of_instances" => {
                let value = self.node(side).await?.get(name).cloned();
                Some(Place::Value(value.unwrap_or_default()))
            }
            _ => None,
        })
    }

    pub(super) async fn instance_attribute(
        &mut self,
        side: Side,
        name: &str,
    ) -> Result<Option<Place>, ContextError> {
        Ok(Some(match name {
            "id" => Place::Value(json!(self.subject(side)?.instance_id)),
            "node" => Place::Node(side),
            "runtime_properties" => Place::RuntimeProperties(side),
            "update" => Place::Method(Method::Update(side)),
            "refresh" => Place::Method(Method::Refresh(side)),
            "host_ip" => Place::Value(json!(self.host_ip(side).await?)),
            "index" | "relationships" => {
                let value = self.instance(side).await?.fields.get(name).cloned();
                Place::Value(value.unwrap_or_default())
            }
            "scaling_groups" => {
                let groups = self.instance(side).await?.fields.get(name).cloned();
                Place::Value(scaling_groups(groups.as_ref()))
            }
            "drift" => {
                let fields = &self.instance(side).await?.fields;
                let drift = fields.pointer("/system_properties/configuration_drift");
                let ok = drift
                    .and_then(|drift| drift.get("ok"))
                    .and_then(Value::as_bool);
                let result = drift.and_then(|drift| drift.get("result")).cloned();
                Place::Value(result.filter(|_| ok == Some(true)).unwrap_or_default())
            }
            _ => return Ok(None),
        }))
    }

    /// The address of the host the instance is contained in.
    async fn host_ip(&mut self, side: Side) -> Result<Value, ContextError> {
        let own_id = self.subject(side)?.instance_id.clone();
        let instance = self.instance(side).await?;
        let host_id = instance
            .fields
            .get("host_id")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let host_id = host_id.ok_or_else(|| ContextError::definite("host_id missing"))?;
        let (runtime, node_name) = if host_id == own_id {
            (
                instance.properties.get("ip").cloned(),
                self.subject(side)?.node_name.clone(),
            )
        } else {
            let host = self.load_instance(&host_id).await?;
            let node = host
                .fields
                .get("node_id")
                .and_then(Value::as_str)
                .unwrap_or_default();
            (host.properties.get("ip").cloned(), node.to_owned())
        };
        if let Some(ip) = runtime.filter(|ip| !text::is_falsy(ip)) {
            return Ok(ip);
        }
        let node = self.load_node(&node_name, None).await?;
        let ip = node
            .pointer("/properties/ip")
            .filter(|ip| !text::is_falsy(ip))
            .cloned();
        let missing = || format!("could not find ip for host node instance: {host_id}");
        ip.ok_or_else(|| ContextError::definite(missing()))
    }

    pub(super) fn operation_attribute(&self, name: &str) -> Option<Place> {
        let operation = &self.task.context.operation;
        Some(match name {
            "name" => Place::Value(json!(operation.name)),
            "retry_number" => Place::Value(json!(operation.retry_number)),
            "max_retries" => Place::Value(json!(operation.max_retries)),
            "relationship" => Place::Value(json!(operation.relationship)),
            "retry" => Place::Method(Method::OperationRetry),
            _ => return None,
        })
    }

    pub(super) fn plugin_attribute(&self, name: &str) -> Option<Place> {
        let plugin = &self.task.context.plugin;
        Some(match name {
            "name" => Place::Value(json!(plugin.name)),
            "package_name" => Place::Value(json!(plugin.package_name)),
            "package_version" => Place::Value(json!(plugin.package_version)),
            "source" => Place::Value(json!(plugin.source)),
            "properties" => Place::Properties(object(Some(plugin.properties.clone()))),
            _ => return None,
        })
    }
}

fn record(class: &'static str, fields: Value) -> Place {
    Place::Record(class, object(Some(fields)))
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// Group names by the ids of the group instances.
fn scaling_groups(groups: Option<&Value>) -> Value {
    let groups = groups.and_then(Value::as_array).into_iter().flatten();
    let named = groups.filter_map(|group| {
        Some((
            group.get("id")?.as_str()?.to_owned(),
            group.get("name")?.clone(),
        ))
    });
    Value::Object(named.collect())
}

fn root_method(name: &str) -> Option<Method> {
    Some(match name {
        "get_config" => Method::GetConfig,
        "send_event" => Method::SendEvent,
        "get_operation" => Method::GetOperation,
        "get_execution" => Method::GetExecution,
        "update_operation" => Method::UpdateOperation,
        "get_resource" => Method::GetResource { render: false },
        "get_resource_and_render" => Method::GetResource { render: true },
        "download_resource" => Method::DownloadResource { render: false },
        "download_resource_and_render" => Method::DownloadResource { render: true },
        "returns" => Method::Returns,
        "abort_operation" => Method::AbortOperation,
        "retry_operation" => Method::RetryOperation,
        _ => return None,
    })
}

pub(super) fn log_method(name: &str) -> Option<Method> {
    let level = match name {
        "debug" => "debug",
        "info" => "info",
        "warning" | "warn" => "warning",
        "error" | "exception" => "error",
        "critical" | "fatal" => "critical",
        "log" => return Some(Method::Log(None)),
        _ => return None,
    };
    Some(Method::Log(Some(level)))
}
