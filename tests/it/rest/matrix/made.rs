//! One of every resource for each visibility, in the tenant `t1`.
use reqwest::Method;
use serde_json::{Value, json};

use super::people::Person;
use crate::{
    rest::{EMPTY_ZIP, archive},
    support::{server::TestServer, wagon::Wagon},
};

const VISIBILITIES: [&str; 3] = ["private", "tenant", "global"];

/// What was made with one visibility. Everything is named after that, but what names itself.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) visibility: &'static str,
    plugin: String,
    modification: String,
}

impl Made {
    /// A path in which `{}` stands for the visibility, `{plugin}` and `{modification}` for their
    /// ids.
    pub(super) fn named(&self, path: &str) -> String {
        path.replace("{}", self.visibility)
            .replace("{plugin}", &self.plugin)
            .replace("{modification}", &self.modification)
    }
}

/// Whoever makes resources.
#[derive(Debug, Clone, Copy)]
struct Maker<'a> {
    server: &'a TestServer,
    person: &'a Person,
    visibility: &'a str,
}

impl Maker<'_> {
    /// `{}` in the path is the visibility, after which everything is named.
    async fn make(self, method: &str, path: &str, body: &Value, status: u16) -> Value {
        let path = path.replace("{}", self.visibility);
        let asked = (method, path.as_str());
        let answer = self.person.ask(self.server, asked, "t1", body).await;
        let shown = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {shown}");
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    async fn upload(self, method: Method, path: &str, body: Vec<u8>) -> Value {
        let path = path.replace("{}", self.visibility);
        let asked = (method.as_str(), path.as_str());
        let request = self.person.request(self.server, asked, Some("t1"));
        self.server.send(request.body(body)).await.expect(201)
    }

    async fn blueprint(self) {
        let visibility = self.visibility;
        let path = "blueprints/{}?skip_execution=true&visibility={}";
        let text = "tosca_definitions_version: cloudify_dsl_1_3\n";
        self.upload(Method::PUT, path, archive("blueprint.yaml", text))
            .await;
        let plan = json!({"inputs": {}, "nodes": [], "workflows": {}, "imported_blueprints": []});
        let change = json!({"plan": plan, "state": "uploaded", "labels": [{"of": visibility}],
            "main_file_name": "blueprint.yaml"});
        self.make("PATCH", "blueprints/{}", &change, 200).await;
    }

    async fn deployment(self) {
        let visibility = self.visibility;
        let new = json!({"blueprint_id": visibility, "visibility": visibility,
            "workdir_zip": EMPTY_ZIP, "labels": [{"of": visibility}],
            "workflows": {"install": {"plugin": "default_workflows", "operation": "x",
                "parameters": {}}},
            "outputs": {}, "capabilities": {}});
        self.make("PUT", "deployments/{}", &new, 201).await;
        let node = json!({"id": "db", "type": "t.Db", "type_hierarchy": ["t.Db"]});
        let nodes = json!({"deployment_id": visibility, "nodes": [node]});
        self.make("POST", "nodes", &nodes, 201).await;
        let instance = json!({"id": format!("{visibility}_1"), "node_id": "db"});
        let instances = json!({"deployment_id": visibility, "node_instances": [instance]});
        self.make("POST", "node-instances", &instances, 201).await;
        let agent = json!({"node_instance_id": format!("{visibility}_1"), "state": "creating",
            "create_rabbitmq_user": false, "install_method": "remote", "rabbitmq_exchange": "a",
            "visibility": visibility});
        self.make("PUT", "agents/{}", &agent, 200).await;
        let schedule = json!({"workflow_id": "install", "since": "2090-01-01 00:00:00",
            "recurrence": "1 day", "count": 2});
        let path = "execution-schedules/{}?deployment_id={}";
        self.make("PUT", path, &schedule, 201).await;
    }

    async fn others(self) {
        let visibility = self.visibility;
        let seen = json!({"visibility": visibility});
        self.make("PUT", "sites/{}", &seen, 200).await;
        self.make("PUT", "deployment-groups/{}", &seen, 200).await;
        let secret = json!({"value": "s", "visibility": visibility});
        self.make("PUT", "secrets/{}", &secret, 200).await;
        let provider = json!({"name": visibility, "type": "local", "visibility": visibility});
        self.make("PUT", "secrets-providers", &provider, 200).await;
        let rule = json!({"key": "of", "values": ["x"], "operator": "any_of", "type": "label"});
        let filter = json!({"filter_rules": [rule], "visibility": visibility});
        self.make("PUT", "filters/blueprints/{}", &filter, 200)
            .await;
        self.make("PUT", "filters/deployments/{}", &filter, 200)
            .await;
    }

    async fn plugin(self) -> String {
        let wagon = Wagon {
            package: self.visibility,
            version: "1.0.0",
            tasks: "",
        };
        let path = "plugins?visibility={}&title={}";
        let made = self
            .upload(Method::POST, path, wagon.with_yaml("plugins: {}\n"))
            .await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// What was done to a deployment, and what it depends on; the id of its modification, which
    /// goes on. The group of executions is restored by an administrator.
    async fn of_deployment(self, admin: &Person) -> String {
        let visibility = self.visibility;
        let dependency = json!({"source_deployment": visibility, "dependency_creator": visibility,
            "external_target": {"deployment": "x"}});
        let path = "deployments/inter-deployment-dependencies";
        self.make("PUT", path, &dependency, 200).await;
        let update = json!({"deployment_id": visibility, "execution_id": visibility,
            "state": "successful"});
        self.make("PUT", "deployment-updates/{}", &update, 200)
            .await;
        let group = json!({"id": visibility, "deployment_group_id": visibility,
            "workflow_id": "install", "associated_executions": [visibility],
            "created_by": self.person.name});
        let admin = Maker {
            person: admin,
            ..self
        };
        admin.make("POST", "execution-groups", &group, 200).await;
        let new = json!({"deployment_id": visibility});
        let started = self.make("POST", "deployment-modifications", &new, 201);
        started.await["id"].as_str().unwrap().to_owned()
    }

    /// An execution that has ended, restored by an administrator.
    async fn execution(self, admin: &Person) {
        let visibility = self.visibility;
        let execution = json!({"deployment_id": visibility, "workflow_id": "install",
            "id": visibility, "force_status": "terminated", "created_by": self.person.name});
        let admin = Maker {
            server: self.server,
            person: admin,
            visibility,
        };
        admin.make("POST", "executions", &execution, 201).await;
        let operation = json!({"id": visibility, "name": "o", "type": "RemoteWorkflowTask",
            "dependencies": [], "parameters": {}});
        let graph = json!({"graph_id": visibility, "name": "g", "execution_id": visibility,
            "operations": [operation]});
        admin
            .make("POST", "tasks_graphs/tasks_graphs", &graph, 201)
            .await;
        let event = json!({"event_type": "workflow_started", "message": {"text": visibility},
            "context": {}});
        let events = json!({"execution_id": visibility, "events": [event]});
        self.make("POST", "events", &events, 201).await;
    }
}

/// Makes everything.
pub(super) async fn everything(server: &TestServer, people: &[Person]) -> Vec<Made> {
    let named = |name: &str| people.iter().find(|person| person.name == name).unwrap();
    let mut made = Vec::new();
    for visibility in VISIBILITIES {
        let person = match visibility {
            "global" => named("sys_admin"),
            _ => named("maker"),
        };
        let maker = Maker {
            server,
            person,
            visibility,
        };
        maker.blueprint().await;
        maker.deployment().await;
        maker.others().await;
        maker.execution(named("admin")).await;
        made.push(Made {
            visibility,
            plugin: maker.plugin().await,
            modification: maker.of_deployment(named("admin")).await,
        });
    }
    made
}
