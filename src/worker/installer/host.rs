//! A host and its agent, as managers know them.
use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Config, Failure, never, not_now, script};
use crate::{
    broker::{
        admin::{generate_password, tenant_user},
        wire::{OperationContext, OperationTask},
    },
    worker::rest::Session,
};

/// How often a write is repeated that came after somebody else's.
const WRITES_MAX: usize = 20;
/// Methods of hosts that run the script on their own.
const BY_THEMSELVES: [&str; 3] = ["init_script", "provided", "plugin"];
const PROPERTY: &str = "cloudify_agent";
/// Runtime property with what an agent's predecessor was.
pub(super) const FORMER: &str = "old_cloudify_agent";

/// The node instance of a host.
#[derive(Debug)]
pub(in crate::worker) struct Host {
    pub(super) session: Session,
    pub(super) context: OperationContext,
    id: String,
    /// What holds for its agent.
    pub(super) config: Config,
    /// What is known of its agent.
    stored: Option<Map<String, Value>>,
    /// The agent that was there before this one.
    pub(super) former: Option<String>,
    /// What its last validation found.
    status: Option<Value>,
    ip: Option<String>,
}

/// An agent that managers know.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) queue: String,
    pub(super) user: String,
}

/// A manager, as agents reach it.
#[derive(Debug, Default)]
pub(super) struct Managers {
    pub(super) hosts: Vec<String>,
    /// Certificates that theirs are signed with.
    pub(super) authorities: String,
}

impl Host {
    /// Reads what there is about the host of an operation.
    pub(in crate::worker) async fn load(
        session: Session,
        task: &OperationTask,
    ) -> Result<Self, Failure> {
        let context = task.context.clone();
        let id = context.node_id.clone().unwrap_or_default();
        let evaluated = ("_evaluate_functions", "True");
        let instance = session.get(&["node-instances", &id], &[evaluated]).await?;
        let deployment = context.deployment_id.as_deref().unwrap_or_default();
        let node = context.node_name.as_deref().unwrap_or_default();
        let query = [("deployment_id", deployment), ("id", node), evaluated];
        let nodes = session.get(&["nodes"], &query).await?;
        let properties = nodes.pointer("/items/0/properties");
        let property = |name: &str| properties.and_then(|properties| properties.get(name));
        let runtime = instance.get("runtime_properties");
        let runtime = |name: &str| runtime.and_then(|runtime| runtime.get(name));
        let provider = session.get(&["provider", "context"], &[]).await?;
        let settings = session.get(&["config"], &[("scope", "agent")]).await?;
        let config = Config::default()
            .with(provider.pointer("/context/cloudify/cloudify_agent"))
            .with(Some(&by_name(&settings)))
            .with(property("agent_config"))
            .with(property(PROPERTY))
            .with(runtime(PROPERTY))
            .with(task.inputs.get("agent_config"))
            .with(task.inputs.get(PROPERTY));
        let ip = [config.get("ip"), runtime("ip"), property("ip")];
        let ip = ip.into_iter().flatten().filter_map(Value::as_str);
        let ip = ip.map(str::to_owned).find(|ip| !ip.is_empty());
        Ok(Self {
            ip,
            former: runtime(FORMER)
                .and_then(|former| former.get("name")?.as_str())
                .map(str::to_owned),
            status: runtime("agent_status").cloned(),
            stored: runtime(PROPERTY).and_then(Value::as_object).cloned(),
            session,
            context,
            id,
            config,
        })
    }

    /// The node instance's.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn ip(&self) -> Option<&str> {
        self.ip.as_deref()
    }

    /// Name and queue of the agent that the host has.
    pub(super) fn known(&self) -> Result<(String, String), Failure> {
        let text = |key: &str| {
            let stored = self.stored.as_ref()?;
            stored.get(key)?.as_str().map(str::to_owned)
        };
        match (text("name"), text("queue")) {
            (Some(name), Some(queue)) => Ok((name, queue)),
            _ => Err(never(format!("The host {} has no agent", self.id))),
        }
    }

    /// The name of its agent: the one it has, the one that is asked for, or its own.
    fn agent_name(&self) -> String {
        let known = self.known().ok().map(|(name, _)| name);
        let asked = self.config.text("service_name").map(str::to_owned);
        known.or(asked).unwrap_or_else(|| self.id.clone())
    }

    /// Makes the agent known, with a user on the broker; one that is known keeps its user.
    pub(super) async fn register(&self, state: &str) -> Result<Agent, Failure> {
        self.register_as(&self.agent_name(), state).await
    }

    pub(super) async fn register_as(&self, name: &str, state: &str) -> Result<Agent, Failure> {
        let known = match self.session.get(&["agents", name], &[]).await {
            Ok(known) => Some(known),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        let said = |key: &str| {
            let text = known.as_ref()?.get(key)?.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        if said("node_instance_id").is_some_and(|other| other != self.id) {
            return Err(never(format!("The agent {name} is another host's")));
        }
        let user = said("rabbitmq_username");
        let password = said("rabbitmq_password");
        let queue = said("rabbitmq_exchange").unwrap_or_else(|| name.to_owned());
        let user =
            user.unwrap_or_else(|| format!("{}_{name}", tenant_user(&self.context.tenant.name)));
        let password = password.unwrap_or_else(|| generate_password(&mut rand::rng()));
        let body = json!({
            "node_instance_id": self.id, "state": state, "create_rabbitmq_user": true,
            "ip": self.ip, "install_method": self.config.method(), "system": null,
            "version": env!("CARGO_PKG_VERSION"), "rabbitmq_username": user,
            "rabbitmq_password": password, "rabbitmq_exchange": queue,
        });
        self.session.put(&["agents", name], &body).await?;
        if known.is_some() {
            self.state(name, state).await?;
        }
        Ok(Agent {
            name: name.to_owned(),
            queue,
            user,
        })
    }

    pub(super) async fn state(&self, name: &str, state: &str) -> Result<(), Failure> {
        let change = json!({"state": state});
        self.session.patch(&["agents", name], &change).await?;
        Ok(())
    }

    pub(super) async fn managers(&self) -> Result<Managers, Failure> {
        let found = self.session.get(&["managers"], &[]).await?;
        let items = found.get("items").and_then(Value::as_array);
        let mut managers = Managers::default();
        for manager in items.into_iter().flatten() {
            let text = |key: &str| manager.get(key).and_then(Value::as_str);
            let networks = manager.get("networks");
            let on_network = networks.and_then(|all| all.get(self.config.network())?.as_str());
            let host = on_network.or_else(|| text("private_ip"));
            managers.hosts.extend(host.map(str::to_owned));
            if let Some(pem) = text("ca_cert_content")
                && !managers.authorities.contains(pem)
            {
                managers.authorities.push_str(pem);
            }
        }
        Ok(managers)
    }

    pub(super) fn rest_port(&self) -> u16 {
        self.context.rest_port.unwrap_or(53333)
    }

    /// What the host keeps of its agent. Secrets are not among it: runtime properties are shown to
    /// everybody who may see the deployment.
    pub(super) async fn property(&self, agent: &Agent) -> Result<Map<String, Value>, Failure> {
        let managers = self.managers().await?;
        let config = &self.config;
        let or_null = |name: &str| config.get(name).cloned().unwrap_or_default();
        let or = |name: &str, default: Value| config.get(name).cloned().unwrap_or(default);
        let directory = script::directory(config, &agent.name);
        let first = managers.hosts.first().cloned().unwrap_or_default();
        let property = json!({
            "name": agent.name, "queue": agent.queue, "node_instance_id": self.id,
            "install_method": config.method(), "network": config.network(),
            "rest_host": managers.hosts, "rest_port": self.rest_port(),
            "rest_ssl_cert": managers.authorities,
            "file_server_url": format!("https://{first}:{}/resources", self.rest_port()),
            "tenant": {"name": self.context.tenant.name},
            "ip": self.ip, "user": or_null("user"), "key": null, "password": null,
            "port": or_null("port"), "windows": false, "local": config.flag("local"),
            "process_management": or("process_management", json!({"name": "systemd"})),
            "basedir": or_null("basedir"), "install_dir": directory, "envdir": null,
            "agent_dir": directory, "env": or("env", json!({})),
            "fabric_env": or("fabric_env", json!({})), "system_python": or_null("system_python"),
            "heartbeat": or_null("heartbeat"), "version": env!("CARGO_PKG_VERSION"),
            "min_workers": or("min_workers", json!(0)), "max_workers": or("max_workers", json!(5)),
            "log_level": or("log_level", json!("info")),
            "log_max_bytes": or("log_max_bytes", json!(5_242_880)),
            "log_max_history": or("log_max_history", json!(7)),
            "disable_requiretty": config.flag("disable_requiretty"),
            "bypass_maintenance": self.context.bypass_maintenance,
            "broker_user": agent.user, "broker_pass": null,
            "install_script_download_link": null, "local_cleanup_paths": [],
        });
        match property {
            Value::Object(property) => Ok(property),
            _ => Ok(Map::new()),
        }
    }

    /// The script that puts the agent on its host and starts it.
    pub(super) async fn script(&self, agent: &Agent) -> Result<String, Failure> {
        let managers = self.managers().await?;
        let token = self.context.token();
        let token = token.ok_or_else(|| never("The operation has no execution token"))?;
        Ok(script::installing(&script::Installing {
            config: &self.config,
            name: &agent.name,
            tenant: &self.context.tenant.name,
            managers: &managers,
            rest_port: self.rest_port(),
            token,
        }))
    }

    /// The script for an agent that comes beside the one that is there, in a place of its own.
    pub(super) async fn script_beside(&self, agent: &Agent) -> Result<String, Failure> {
        let apart = json!({"agent_dir": self.directory_beside(agent)});
        let beside = Self {
            config: self.config.clone().with(Some(&apart)),
            session: self.session.clone(),
            context: self.context.clone(),
            id: self.id.clone(),
            stored: self.stored.clone(),
            former: None,
            status: None,
            ip: self.ip.clone(),
        };
        beside.script(agent).await
    }

    fn directory_beside(&self, agent: &Agent) -> String {
        let (base, name) = (self.config.text("basedir"), &agent.name);
        format!(
            "{}/{name}",
            base.unwrap_or(script::BASE).trim_end_matches('/')
        )
    }

    /// The host has another agent from now on.
    pub(super) async fn replace(&self, agent: &Agent) -> Result<(), Failure> {
        let mut property = self.property(agent).await?;
        let directory = json!(self.directory_beside(agent));
        property.insert("install_dir".to_owned(), directory.clone());
        property.insert("agent_dir".to_owned(), directory);
        self.set(FORMER, self.stored.clone()).await?;
        self.set(PROPERTY, Some(property)).await
    }

    /// What plugins of clouds give to a new machine, so that it gets its agent by itself. Nothing
    /// for hosts whose agent gets there another way.
    pub(in crate::worker) async fn init_script(&self) -> Result<Option<String>, Failure> {
        if !BY_THEMSELVES.contains(&self.config.method()) {
            return Ok(None);
        }
        let agent = self.register("creating").await?;
        Ok(Some(self.script(&agent).await?))
    }

    /// Where such a script can be fetched by whoever may read the deployment's files. It goes with
    /// the deployment.
    pub(in crate::worker) async fn install_script_link(&self) -> Result<String, Failure> {
        if self.config.method() == "none" {
            return Err(never(format!("The host {} gets no agent", self.id)));
        }
        let agent = self.register("creating").await?;
        let path = self.publish(&self.script(&agent).await?).await?;
        self.link(&path).await
    }

    /// Puts a script where the host can fetch it; its path below the resource directory.
    pub(super) async fn publish(&self, text: &str) -> Result<String, Failure> {
        let tenant = &self.context.tenant.name;
        let deployment = self.context.deployment_id.as_deref().unwrap_or_default();
        let path = format!("deployments/{tenant}/{deployment}/{}.sh", Uuid::now_v7());
        self.session.store(&path, text.as_bytes()).await?;
        Ok(path)
    }

    pub(super) async fn link(&self, path: &str) -> Result<String, Failure> {
        let managers = self.managers().await?;
        let host = managers.hosts.first();
        let host = host.ok_or_else(|| never("No manager can be reached from the host"))?;
        Ok(format!(
            "https://{host}:{}/resources/{path}",
            self.rest_port()
        ))
    }

    /// Removes what was put there.
    pub(super) async fn remove(&self, path: &str) -> Result<(), Failure> {
        self.session.unstore(path).await?;
        Ok(())
    }

    /// Whether its agent answered when it was last validated.
    pub(super) fn was_alive(&self) -> bool {
        let alive = ["agent_alive_crossbroker", "agent_alive"];
        let said = alive.map(|field| self.status.as_ref()?.get(field)?.as_bool());
        said.contains(&Some(true))
    }

    /// Removes the scripts that were published for the agent.
    pub(super) async fn unpublish(&self) -> Result<(), Failure> {
        let paths = self
            .stored
            .as_ref()
            .and_then(|s| s.get("local_cleanup_paths"));
        for path in paths.and_then(Value::as_array).into_iter().flatten() {
            if let Some(path) = path
                .as_str()
                .filter(|path| path.starts_with("deployments/"))
            {
                self.session.unstore(path).await?;
            }
        }
        Ok(())
    }

    /// Sets or removes a runtime property of the host.
    pub(super) async fn set(
        &self,
        name: &str,
        value: Option<Map<String, Value>>,
    ) -> Result<(), Failure> {
        let path = ["node-instances", self.id.as_str()];
        for _ in 0..WRITES_MAX {
            let mut instance = self.session.get(&path, &[]).await?;
            let properties = instance.get_mut("runtime_properties").map(Value::take);
            let mut properties = match properties {
                Some(Value::Object(properties)) => properties,
                _ => Map::new(),
            };
            match &value {
                Some(value) => drop(properties.insert(name.to_owned(), json!(value))),
                None => drop(properties.shift_remove(name)),
            }
            let body = json!({
                "version": instance.get("version"), "runtime_properties": properties,
            });
            match self.session.patch(&path, &body).await {
                Ok(_) => return Ok(()),
                Err(error) if error.status() == Some(StatusCode::CONFLICT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(not_now(format!(
            "The runtime properties of {} are changed by too many at once",
            self.id
        )))
    }
}

/// A list of settings as a mapping.
fn by_name(settings: &Value) -> Value {
    let items = settings.get("items").and_then(Value::as_array);
    let pairs = items.into_iter().flatten().filter_map(|setting| {
        let name = setting.get("name")?.as_str()?.to_owned();
        Some((name, setting.get("value")?.clone()))
    });
    Value::Object(pairs.collect())
}
