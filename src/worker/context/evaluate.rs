//! `ctx a b c`: walks from the context along the arguments, then reads, sets or calls what it
//! arrived at.
use serde_json::{Map, Value, json};

use super::{Context, ContextError, Side, attributes::log_method, path};
use crate::worker::text;

/// What a call gives back to the script.
#[derive(Debug)]
pub(in crate::worker) enum Answer {
    Result(Value),
    /// The script is to end, having said so itself.
    Stop(String),
}

/// Where the walk stands.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Root,
    Subject(Side),
    Node(Side),
    Instance(Side),
    RuntimeProperties(Side),
    /// A mapping nobody may change.
    Properties(Map<String, Value>),
    /// An object whose attributes are the fields; it has no JSON form of its own.
    Record(&'static str, Map<String, Value>),
    Plugin,
    Operation,
    Capabilities,
    Agent,
    Logger,
    Value(Value),
    Method(Method),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Log(Option<&'static str>),
    Update(Side),
    Refresh(Side),
    OperationRetry,
    Capabilities,
    GetConfig,
    InitScript,
    InstallScriptLink,
    SendEvent,
    GetOperation,
    GetExecution,
    UpdateOperation,
    GetResource { render: bool },
    DownloadResource { render: bool },
    Returns,
    AbortOperation,
    RetryOperation,
}

impl Context {
    pub(in crate::worker) async fn call(&mut self, args: &[Value]) -> Result<Answer, ContextError> {
        let mut place = Place::Root;
        let mut rest = args;
        while let Some((arg, after)) = rest.split_first() {
            if let Some(name) = arg.as_str()
                && let Some(next) = self.attribute(&place, name).await?
            {
                (place, rest) = (next, after);
                continue;
            }
            return match place {
                Place::RuntimeProperties(_) | Place::Properties(_) => {
                    self.property(place, arg, after).await.map(Answer::Result)
                }
                Place::Method(method) => self.invoke(method, rest).await,
                _ => Err(ContextError::runtime(format!(
                    "{} cannot be processed in {}",
                    text::str(arg),
                    text::repr(&Value::Array(args.to_vec()))
                ))),
            };
        }
        self.finish(place).await
    }

    async fn attribute(
        &mut self,
        place: &Place,
        name: &str,
    ) -> Result<Option<Place>, ContextError> {
        let name = name.replace('-', "_");
        match place {
            Place::Root => self.root(&name).await,
            Place::Subject(side) => Ok(match name.as_str() {
                "node" => Some(Place::Node(*side)),
                "instance" => Some(Place::Instance(*side)),
                _ => None,
            }),
            Place::Node(side) => self.node_attribute(*side, &name).await,
            Place::Instance(side) => self.instance_attribute(*side, &name).await,
            Place::Operation => Ok(self.operation_attribute(&name)),
            Place::Plugin => Ok(self.plugin_attribute(&name)),
            Place::Capabilities => {
                Ok((name == "get_all").then_some(Place::Method(Method::Capabilities)))
            }
            Place::Agent => Ok(match name.as_str() {
                "init_script" => Some(Place::Method(Method::InitScript)),
                "install_script_download_link" => Some(Place::Method(Method::InstallScriptLink)),
                _ => None,
            }),
            Place::Logger => Ok(log_method(&name).map(Place::Method)),
            Place::Record(_, fields) => Ok(fields.get(&name).cloned().map(Place::Value)),
            Place::Value(Value::Object(fields)) => Ok(fields.get(&name).cloned().map(Place::Value)),
            Place::RuntimeProperties(_)
            | Place::Properties(_)
            | Place::Value(_)
            | Place::Method(_) => Ok(None),
        }
    }

    /// Reads or sets one property by path.
    async fn property(
        &mut self,
        place: Place,
        arg: &Value,
        after: &[Value],
    ) -> Result<Value, ContextError> {
        let key = text::str(arg);
        match (place, after) {
            (Place::RuntimeProperties(side), []) => {
                Ok(path::get(&self.instance(side).await?.properties, &key)?)
            }
            (Place::RuntimeProperties(side), [value]) => {
                path::set(
                    &mut self.instance(side).await?.properties,
                    &key,
                    value.clone(),
                )?;
                Ok(Value::Null)
            }
            (Place::Properties(fields), []) => Ok(path::get(&fields, &key)?),
            (Place::Properties(_), [_]) => Err(ContextError::definite(
                "Cannot override read only properties",
            )),
            _ => Err(ContextError::runtime(
                "Illegal argument while accessing dict",
            )),
        }
    }

    /// The walk ended here without further arguments.
    async fn finish(&mut self, place: Place) -> Result<Answer, ContextError> {
        let value = match place {
            Place::Value(value) => value,
            Place::Properties(fields) => Value::Object(fields),
            Place::RuntimeProperties(side) => {
                Value::Object(self.instance(side).await?.properties.clone())
            }
            Place::Plugin => json!(self.task.context.plugin.name),
            Place::Method(method) => return self.invoke(method, &[]).await,
            Place::Root => return Err(no_json("CloudifyContext")),
            Place::Subject(_) => return Err(no_json("RelationshipSubjectContext")),
            Place::Node(_) => return Err(no_json("NodeContext")),
            Place::Instance(_) => return Err(no_json("NodeInstanceContext")),
            Place::Operation => return Err(no_json("OperationContext")),
            Place::Capabilities => return Err(no_json("ContextCapabilities")),
            Place::Agent => return Err(no_json("CloudifyAgentContext")),
            Place::Logger => return Err(no_json("Logger")),
            Place::Record(name, _) => return Err(no_json(name)),
        };
        Ok(Answer::Result(value))
    }
}

fn no_json(class: &str) -> ContextError {
    let message = format!("Object of type {class} is not JSON serializable");
    ContextError {
        kind: "TypeError",
        message,
    }
}
