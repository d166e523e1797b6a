//! What can be called on the context.
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Answer, AskedRetry, Context, ContextError, Ending, Side, evaluate::Method};
use crate::{
    broker::wire::OperationTask,
    worker::{
        installer::{self, Host},
        text,
    },
};

const ENDS_ONCE: &str = "ctx may only abort or return once";

/// Positional arguments; a mapping at the end holds the named ones.
struct Args<'a> {
    positional: &'a [Value],
    named: Option<&'a Map<String, Value>>,
}

impl<'a> Args<'a> {
    fn new(args: &'a [Value]) -> Self {
        match args.split_last() {
            Some((Value::Object(named), positional)) => Self {
                positional,
                named: Some(named),
            },
            _ => Self {
                positional: args,
                named: None,
            },
        }
    }

    fn get(&self, index: usize, name: &str) -> Option<&'a Value> {
        self.positional
            .get(index)
            .or_else(|| self.named.and_then(|named| named.get(name)))
            .filter(|value| !value.is_null())
    }

    fn text(&self, index: usize, name: &str) -> Option<String> {
        self.get(index, name).map(text::str)
    }

    fn required(&self, index: usize, name: &str) -> Result<String, ContextError> {
        self.text(index, name).ok_or_else(|| ContextError {
            kind: "TypeError",
            message: format!("missing 1 required positional argument: '{name}'"),
        })
    }

    fn seconds(&self, index: usize, name: &str) -> Result<Option<f64>, ContextError> {
        let Some(value) = self.get(index, name) else {
            return Ok(None);
        };
        let seconds = value
            .as_f64()
            .or_else(|| value.as_str()?.trim().parse().ok());
        let invalid = || ContextError {
            kind: "ValueError",
            message: format!("{name} is not a number: {}", text::repr(value)),
        };
        seconds.map(Some).ok_or_else(invalid)
    }
}

impl Context {
    pub(super) async fn invoke(
        &mut self,
        method: Method,
        args: &[Value],
    ) -> Result<Answer, ContextError> {
        // What a script returns may be a mapping itself.
        if method == Method::Returns {
            return self.returns(args);
        }
        let args = Args::new(args);
        let value = match method {
            Method::AbortOperation => {
                let message = args.text(0, "message").unwrap_or_default();
                return self
                    .end(Ending::Aborted(message.clone()))
                    .map(|()| Answer::Stop(message));
            }
            Method::RetryOperation => {
                let retry = asked(&args)?;
                self.end(Ending::Retried)?;
                self.retry = Some(retry.clone());
                return Ok(Answer::Stop(retry.message));
            }
            Method::OperationRetry => {
                self.retry = Some(asked(&args)?);
                Value::Null
            }
            Method::Log(level) => self.write_log(level, &args).await?,
            Method::SendEvent => {
                self.logger.event(args.required(0, "event")?).await;
                Value::Null
            }
            Method::Update(side) => self.update(side).await.map(|()| Value::Null)?,
            Method::Refresh(side) => self.refresh(side, &args)?,
            Method::Capabilities => self.capabilities().await?,
            Method::GetConfig => self.config(&args).await?,
            Method::InitScript => {
                let host = self.host(&args).await?;
                json!(host.init_script().await.map_err(no_script)?)
            }
            Method::InstallScriptLink => {
                let host = self.host(&args).await?;
                json!(host.install_script_link().await.map_err(no_script)?)
            }
            Method::GetOperation => {
                let id = self.task.task_id().unwrap_or_default().to_owned();
                self.session.get(&["operations", &id], &[]).await?
            }
            Method::GetExecution => {
                let own = self.task.context.execution_id.clone().unwrap_or_default();
                let id = args.text(0, "execution_id").unwrap_or(own);
                self.session.get(&["executions", &id], &[]).await?
            }
            Method::UpdateOperation => {
                let id = self.task.task_id().unwrap_or_default().to_owned();
                let body = json!({"state": args.required(0, "state")?});
                self.session.patch(&["operations", &id], &body).await?
            }
            Method::GetResource { render } => self.read_resource(&args, render).await?,
            Method::DownloadResource { render } => self.download(&args, render).await?,
            Method::Returns => Value::Null,
        };
        Ok(Answer::Result(value))
    }

    fn returns(&mut self, args: &[Value]) -> Result<Answer, ContextError> {
        let value = args.first().cloned().unwrap_or_default();
        // Returning nothing decides nothing.
        if !value.is_null() || self.ending.is_some() {
            self.end(Ending::Returned(value))?;
        }
        Ok(Answer::Result(Value::Null))
    }

    fn end(&mut self, ending: Ending) -> Result<(), ContextError> {
        if self.ending.is_some() {
            self.ending = Some(Ending::Illegal);
            return Err(ContextError::runtime(ENDS_ONCE));
        }
        self.ending = Some(ending);
        Ok(())
    }

    async fn write_log(
        &mut self,
        level: Option<&'static str>,
        args: &Args<'_>,
    ) -> Result<Value, ContextError> {
        let (level, first) = match level {
            Some(level) => (level, 0),
            None => (numbered_level(args.get(0, "level")), 1),
        };
        let message = args.required(first, "msg")?;
        let rest = args.positional.get(first + 1..).unwrap_or_default();
        self.logger.log(level, formatted(&message, rest)).await;
        Ok(Value::Null)
    }

    fn refresh(&mut self, side: Side, args: &Args<'_>) -> Result<Value, ContextError> {
        let force = args
            .get(0, "force")
            .is_some_and(|force| !text::is_falsy(force));
        let subject = self.subject(side)?;
        if !force
            && subject
                .instance
                .as_ref()
                .is_some_and(super::Instance::is_dirty)
        {
            return Err(ContextError::definite(
                "runtime_properties are dirty: refreshing now would destroy local changes",
            ));
        }
        subject.instance = None;
        Ok(Value::Null)
    }

    /// Runtime properties of everything the instance has relationships to.
    async fn capabilities(&mut self) -> Result<Value, ContextError> {
        let side = match &self.task.context.related {
            None => Side::Own,
            Some(related) if related.is_target => Side::Source,
            Some(_) => Side::Target,
        };
        let relationships = self
            .instance(side)
            .await?
            .fields
            .get("relationships")
            .cloned();
        let mut found = Map::new();
        for relationship in relationships
            .as_ref()
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let Some(id) = relationship.get("target_id").and_then(Value::as_str) {
                let target = self.load_instance(id).await?;
                found.insert(id.to_owned(), Value::Object(target.properties));
            }
        }
        Ok(Value::Object(found))
    }

    /// The host whose agent is asked for. What the script has set so far counts, so it is written
    /// first.
    async fn host(&mut self, args: &Args<'_>) -> Result<Host, ContextError> {
        self.update(Side::Own).await?;
        let mut task = OperationTask::clone(&self.task);
        if let Some(config) = args.get(0, "agent_config") {
            task.inputs
                .insert("agent_config".to_owned(), config.clone());
        }
        let host = Host::load(self.session.clone(), &task).await;
        host.map_err(no_script)
    }

    async fn config(&self, args: &Args<'_>) -> Result<Value, ContextError> {
        let (name, scope) = (args.text(0, "name"), args.text(1, "scope"));
        if let Some(name) = &name {
            let query: Vec<_> = scope
                .iter()
                .map(|scope| ("scope", scope.as_str()))
                .collect();
            return Ok(self.session.get(&["config", name], &query).await?);
        }
        let query: Vec<_> = scope
            .iter()
            .map(|scope| ("scope", scope.as_str()))
            .collect();
        let list = self.session.get(&["config"], &query).await?;
        Ok(list.get("items").cloned().unwrap_or_default())
    }

    async fn read_resource(
        &mut self,
        args: &Args<'_>,
        render: bool,
    ) -> Result<Value, ContextError> {
        let content = self
            .resources
            .get(&args.required(0, "resource_path")?)
            .await?;
        let content = if render {
            self.render(&content, args.get(1, "template_variables"))
                .await?
        } else {
            content.to_vec()
        };
        Ok(json!(String::from_utf8_lossy(&content)))
    }

    async fn download(&mut self, args: &Args<'_>, render: bool) -> Result<Value, ContextError> {
        let path = args.required(0, "resource_path")?;
        let target = args.text(1, "target_path").map(PathBuf::from);
        let saved = self.resources.download(&path, target.as_deref()).await?;
        self.logger
            .info(format!("Downloaded {path} to {}", saved.display()))
            .await;
        if render {
            self.render_file(&saved, args.get(2, "template_variables"))
                .await?;
        }
        Ok(json!(saved.to_string_lossy()))
    }

    async fn render_file(
        &mut self,
        file: &Path,
        variables: Option<&Value>,
    ) -> Result<(), ContextError> {
        let failed = |error: std::io::Error| ContextError {
            kind: "OSError",
            message: format!("{}: {error}", file.display()),
        };
        let content = tokio::fs::read(file).await.map_err(failed)?;
        let rendered = self.render(&content, variables).await?;
        if rendered != content {
            tokio::fs::write(file, rendered).await.map_err(failed)?;
        }
        Ok(())
    }
}

fn no_script(error: installer::Failure) -> ContextError {
    ContextError::runtime(error.to_string())
}

fn asked(args: &Args<'_>) -> Result<AskedRetry, ContextError> {
    let message = args.text(0, "message").unwrap_or_default();
    Ok(AskedRetry {
        message,
        after_s: args.seconds(1, "retry_after")?,
    })
}

/// The level of Python's `logger.log(level, …)`.
fn numbered_level(level: Option<&Value>) -> &'static str {
    let number = level.and_then(|level| level.as_i64().or_else(|| level.as_str()?.parse().ok()));
    match number.unwrap_or(20) {
        ..=10 => "debug",
        11..=20 => "info",
        21..=30 => "warning",
        31..=40 => "error",
        _ => "critical",
    }
}

/// `%`-formatting as far as log lines need it; without arguments the text stays as it is.
fn formatted(message: &str, args: &[Value]) -> String {
    if args.is_empty() {
        return message.to_owned();
    }
    let mut args = args.iter();
    let mut out = String::new();
    let mut characters = message.chars();
    while let Some(character) = characters.next() {
        match (
            character,
            if character == '%' {
                characters.next()
            } else {
                None
            },
        ) {
            ('%', Some('%')) => out.push('%'),
            ('%', Some('r')) => out.push_str(&args.next().map(text::repr).unwrap_or_default()),
            ('%', Some('s' | 'd' | 'i' | 'f')) => {
                out.push_str(&args.next().map(text::str).unwrap_or_default());
            }
            ('%', Some(other)) => out.extend(['%', other]),
            (character, _) => out.push(character),
        }
    }
    out
}
