//! All operations of the API, one line each.
use stratalog_projections::View::{
    self, Agents, Blueprints, DeploymentGroups, DeploymentModifications, DeploymentUpdates,
    Deployments, ExecutionGroups, Executions, Filters, InterDeploymentDependencies, LogBundles,
    NodeInstances, Nodes, Operations, Plugins, PluginsUpdates, ProviderContext, Schedules, Secrets,
    SecretsProviders, Sites, Snapshots, TasksGraphs, Tenants, Tokens, UserGroups, Users,
};

use self::{
    Gives::{File, Made, MadeValue, Nothing, One, Page, Told, Tree, Value},
    Takes::{Json, MaybeJson},
};

/// What an operation takes in its body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Takes {
    Nothing,
    Json,
    MaybeJson,
    File,
}

/// What an operation answers with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Gives {
    /// A page of a view.
    Page(View),
    /// A row of a view.
    One(View),
    /// A new row of a view.
    Made(View),
    /// Other JSON.
    Value,
    /// Other JSON, of what is new.
    MadeValue,
    /// 204.
    Nothing,
    /// A file, which may be asked for in part and under conditions.
    File,
    /// As a file, or JSON: the index of a directory.
    Tree,
    /// A text of this type.
    Told(&'static str),
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Who says who they are.
    Known,
    /// Anybody.
    Anybody,
}

/// What an operation does to what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only asks, whatever its method.
    None,
    /// It makes what its path names, and refers to nothing else.
    Makes,
    /// It changes something.
    Changes,
}

/// One method of one path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) takes: Takes,
    pub(super) gives: Gives,
    pub(super) access: Access,
    pub(super) effect: Effect,
    /// Whether it knows nothing of earlier moments.
    pub(super) is_now: bool,
    /// Statuses that do not follow from all this.
    pub(super) also: &'static [u16],
}

const fn operation(method: &'static str, path: &'static str, summary: &'static str) -> Operation {
    Operation {
        method,
        path,
        summary,
        takes: Takes::Nothing,
        gives: Nothing,
        access: Access::Known,
        effect: Effect::Changes,
        is_now: false,
        also: &[],
    }
}

const fn get(path: &'static str, summary: &'static str, gives: Gives) -> Operation {
    operation("GET", path, summary).gives(gives).asks()
}

const fn delete(path: &'static str, summary: &'static str) -> Operation {
    operation("DELETE", path, summary)
}

const fn put(path: &'static str, summary: &'static str, gives: Gives) -> Operation {
    operation("PUT", path, summary).gives(gives).takes(Json)
}

const fn post(path: &'static str, summary: &'static str, gives: Gives) -> Operation {
    operation("POST", path, summary).gives(gives).takes(Json)
}

const fn patch(path: &'static str, summary: &'static str, gives: Gives) -> Operation {
    operation("PATCH", path, summary).gives(gives).takes(Json)
}

impl Operation {
    /// Whether it changes what there is, on behalf of somebody.
    pub(super) fn is_change(&self) -> bool {
        let is_effective = self.method != "GET" && self.effect != Effect::None;
        is_effective && self.access == Access::Known
    }

    const fn takes(mut self, takes: Takes) -> Self {
        self.takes = takes;
        self
    }

    const fn gives(mut self, gives: Gives) -> Self {
        self.gives = gives;
        self
    }

    const fn asks(mut self) -> Self {
        self.effect = Effect::None;
        self
    }

    const fn makes(mut self) -> Self {
        self.effect = Effect::Makes;
        self
    }

    const fn now(mut self) -> Self {
        self.is_now = true;
        self
    }

    const fn open(mut self) -> Self {
        self.access = Access::Anybody;
        self
    }

    const fn also(mut self, statuses: &'static [u16]) -> Self {
        self.also = statuses;
        self
    }
}

/// Below `/api/v3.1`.
#[rustfmt::skip]
pub(super) const VERSIONED: &[Operation] = &[
    get("/agents", "Lists agents", Page(Agents)),
    patch("/agents", "Lets agents trust other certificates", Value),
    get("/agents/{name}", "Gives an agent", One(Agents)),
    put("/agents/{name}", "Records an agent", One(Agents)),
    patch("/agents/{name}", "Changes an agent", One(Agents)),
    get("/audit", "Lists who did what", Value),
    delete("/audit", "Is refused: nothing is taken out of the log").asks(),
    post("/audit", "Is refused: nothing is put into the log", Nothing).takes(Takes::Nothing).asks(),
    get("/audit/checkpoint", "Tells where the log stands, with its chain value", Value),
    get("/audit/stream", "Tells what is done, without end", Told("text/event-stream")),
    get("/audit/events", "Lists events of the log with everything they hold", Value),
    get("/blueprints", "Lists blueprints", Page(Blueprints)).also(&[404]),
    get("/blueprints/{id}", "Gives a blueprint", One(Blueprints)),
    put("/blueprints/{id}", "Uploads a blueprint", Made(Blueprints)).takes(Takes::File).makes(),
    patch("/blueprints/{id}", "Changes a blueprint", One(Blueprints)),
    delete("/blueprints/{id}", "Deletes a blueprint").also(&[405]),
    put("/blueprints/{id}/validate", "Checks a blueprint", Made(Blueprints)).takes(Takes::File).makes(),
    get("/blueprints/{id}/archive", "Downloads a blueprint's archive", File),
    put("/blueprints/{id}/archive", "Stores a blueprint's archive", Value).takes(Takes::File),
    patch("/blueprints/{id}/icon", "Gives a blueprint an icon", One(Blueprints)).takes(Takes::File),
    patch("/blueprints/{id}/set-visibility", "Widens a blueprint's visibility", One(Blueprints)),
    get("/brokers", "Lists message brokers", Value),
    post("/brokers", "Makes a further message broker known", Value),
    put("/brokers/{name}", "Changes the networks of a further message broker", Value),
    delete("/brokers/{name}", "Forgets a further message broker"),
    get("/cluster-status", "Tells how managers, brokers and databases are", Value).also(&[500]),
    get("/config", "Lists settings", Value),
    get("/config/{name}", "Gives a setting", One(View::Config)),
    put("/config/{name}", "Changes a setting", One(View::Config)),
    post("/contacts", "Makes a customer's id", Value),
    get("/db-nodes", "Lists nodes of the database", Value),
    post("/db-nodes", "Looks again which nodes the database has", Value),
    get("/deployment-groups", "Lists groups of deployments", Page(DeploymentGroups)),
    get("/deployment-groups/{id}", "Gives a group of deployments", One(DeploymentGroups)),
    put("/deployment-groups/{id}", "Creates or changes a group of deployments", One(DeploymentGroups)),
    patch("/deployment-groups/{id}", "Lets deployments join and leave a group", One(DeploymentGroups)),
    delete("/deployment-groups/{id}", "Deletes a group of deployments").gives(Value).also(&[204]),
    get("/deployment-modifications", "Lists modifications of deployments", Page(DeploymentModifications)),
    post("/deployment-modifications", "Changes how many instances nodes have", Made(DeploymentModifications)).also(&[404]),
    get("/deployment-modifications/{id}", "Gives a modification", One(DeploymentModifications)),
    post("/deployment-modifications/{id}/finish", "Finishes a modification", One(DeploymentModifications)).takes(Takes::Nothing),
    post("/deployment-modifications/{id}/rollback", "Takes a modification back", One(DeploymentModifications)).takes(Takes::Nothing),
    get("/deployment-updates", "Lists updates of deployments", Page(DeploymentUpdates)),
    post("/deployment-updates", "Brings updates of deployments back", MadeValue).also(&[204, 404]),
    get("/deployment-updates/{id}", "Gives an update of a deployment", One(DeploymentUpdates)),
    put("/deployment-updates/{id}", "Stores an update of a deployment", One(DeploymentUpdates)),
    patch("/deployment-updates/{id}", "Changes what is noted of an update", One(DeploymentUpdates)),
    post("/deployment-updates/{id}/update/initiate", "Updates a deployment", One(DeploymentUpdates)).takes(MaybeJson),
    post("/deployment-updates/{id}/update/finalize", "Ends an update; workflows do so themselves", One(DeploymentUpdates)).takes(Takes::Nothing),
    get("/deployments", "Lists deployments", Page(Deployments)).also(&[404]),
    get("/deployments/inter-deployment-dependencies", "Lists what deployments depend on", Page(InterDeploymentDependencies)),
    put("/deployments/inter-deployment-dependencies", "Records what a deployment depends on", One(InterDeploymentDependencies)).also(&[404]),
    post("/deployments/inter-deployment-dependencies", "Records several things a deployment depends on", Value).also(&[404]),
    delete("/deployments/inter-deployment-dependencies", "Forgets what a deployment depends on").takes(Json).also(&[404]),
    put("/deployments/{id}/inter-deployment-dependencies", "Replaces all that a deployment depends on", Value),
    get("/deployments/{id}", "Gives a deployment", One(Deployments)),
    put("/deployments/{id}", "Creates a deployment", Made(Deployments)),
    patch("/deployments/{id}", "Changes a deployment", One(Deployments)),
    delete("/deployments/{id}", "Deletes a deployment"),
    get("/deployments/{id}/metrics", "Tells how a deployment's agents and their hosts are now", Value).now(),
    get("/deployments/{id}/outputs", "Evaluates a deployment's outputs", Value),
    get("/deployments/{id}/capabilities", "Evaluates a deployment's capabilities", Value),
    post("/deployments/{id}/set-site", "Puts a deployment at a site", One(Deployments)),
    patch("/deployments/{id}/set-visibility", "Widens a deployment's visibility", One(Deployments)),
    post("/evaluate/functions", "Evaluates functions for a deployment", Value).asks().also(&[404]),
    get("/events", "Lists execution logs and events", Value),
    post("/events", "Records execution logs and events", MadeValue).also(&[204, 404]),
    delete("/events", "Hides a deployment's execution logs and events").gives(Value).also(&[404]),
    get("/execution-groups", "Lists groups of executions", Page(ExecutionGroups)),
    post("/execution-groups", "Starts a workflow on a group of deployments", One(ExecutionGroups)).also(&[404]),
    get("/execution-groups/{id}", "Gives a group of executions", One(ExecutionGroups)),
    post("/execution-groups/{id}", "Cancels or resumes a group of executions", One(ExecutionGroups)),
    patch("/execution-groups/{id}", "Changes a group of executions", One(ExecutionGroups)),
    get("/execution-schedules", "Lists schedules of executions", Page(Schedules)),
    get("/execution-schedules/{id}", "Gives a schedule", One(Schedules)),
    put("/execution-schedules/{id}", "Creates a schedule", Made(Schedules)),
    patch("/execution-schedules/{id}", "Changes a schedule", Made(Schedules)),
    delete("/execution-schedules/{id}", "Deletes a schedule"),
    get("/executions", "Lists executions", Page(Executions)),
    post("/executions", "Starts an execution", Made(Executions)).also(&[404]),
    delete("/executions", "Deletes ended executions").takes(MaybeJson).gives(Value),
    get("/executions/{id}", "Gives an execution", One(Executions)),
    post("/executions/{id}", "Cancels or resumes an execution", One(Executions)),
    patch("/executions/{id}", "Reports an execution's status", One(Executions)),
    get("/executions/{id}/timeline", "Tells what was decided of an execution, and why", Value),
    get("/executions/{id}/should-start", "Tells whether an execution may start", Value),
    get("/file-server-auth", "Tells a proxy whether the caller may have a file", Value).also(&[404]),
    get("/file-server-proxy/{path}", "Gives a file to a proxy, or a directory's index or archive", Tree),
    put("/file-server-proxy/{path}", "Stores a file or an archive's members for a proxy", Value).takes(Takes::File),
    post("/file-server-proxy/{path}", "Stores the files of a form for a proxy", Value).takes(Takes::File),
    delete("/file-server-proxy/{path}", "Deletes a file for a proxy"),
    get("/filters/blueprints", "Lists stored filters of blueprints", Page(Filters)),
    get("/filters/blueprints/{id}", "Gives a stored filter of blueprints", One(Filters)),
    put("/filters/blueprints/{id}", "Stores a filter of blueprints", One(Filters)).makes(),
    patch("/filters/blueprints/{id}", "Changes a stored filter of blueprints", One(Filters)),
    delete("/filters/blueprints/{id}", "Deletes a stored filter of blueprints"),
    get("/filters/deployments", "Lists stored filters of deployments", Page(Filters)),
    get("/filters/deployments/{id}", "Gives a stored filter of deployments", One(Filters)),
    put("/filters/deployments/{id}", "Stores a filter of deployments", One(Filters)).makes(),
    patch("/filters/deployments/{id}", "Changes a stored filter of deployments", One(Filters)),
    delete("/filters/deployments/{id}", "Deletes a stored filter of deployments"),
    get("/idp", "Tells where users come from", Value),
    get("/labels/{type}", "Lists keys of labels in use", Value),
    get("/labels/{type}/{key}", "Lists values of a label in use", Value),
    get("/ldap", "Tells whether users come from LDAP", Value),
    post("/ldap", "Has users come from LDAP", Value),
    get("/license-check", "Tells whether there is a licence", Value),
    get("/license", "Tells whose manager it is", Value),
    post("/license", "Sets the customer's id", Value),
    put("/license", "Takes a licence in", Value).takes(Takes::File),
    delete("/license", "Forgets the customer's id").also(&[404]),
    get("/log-bundles", "Lists bundles for support", Page(LogBundles)),
    get("/log-bundles/{id}", "Gives a bundle for support", One(LogBundles)),
    put("/log-bundles/{id}", "Makes a bundle for support", Made(Executions)).takes(MaybeJson).makes(),
    patch("/log-bundles/{id}", "Reports a bundle's status", Value),
    delete("/log-bundles/{id}", "Deletes a bundle for support").gives(One(LogBundles)),
    get("/log-bundles/{id}/archive", "Downloads a bundle for support", File),
    put("/log-bundles/{id}/archive", "Keeps the archive of a bundle", MadeValue).takes(Takes::File),
    post("/maintenance/activate", "Begins maintenance", Value).takes(Takes::Nothing).also(&[304]),
    post("/maintenance/deactivate", "Ends maintenance", Value).takes(Takes::Nothing).also(&[304]),
    get("/maintenance", "Tells whether the manager is under maintenance", Value),
    get("/managers", "Lists managers", Value),
    post("/managers", "Makes a further manager known", Value),
    put("/managers/{name}", "Changes what is known of a further manager", Value),
    delete("/managers/{name}", "Forgets a further manager"),
    get("/monitoring-auth", "Tells a proxy whether the caller may see metrics", Value),
    get("/node-instances", "Lists node instances", Page(NodeInstances)),
    post("/node-instances", "Creates node instances", MadeValue).also(&[204, 404]),
    get("/node-instances/{id}", "Gives a node instance", One(NodeInstances)),
    patch("/node-instances/{id}", "Changes a node instance", One(NodeInstances)),
    delete("/node-instances/{id}", "Deletes a node instance"),
    get("/nodes", "Lists nodes", Page(Nodes)),
    post("/nodes", "Creates nodes", MadeValue).also(&[204, 404]),
    patch("/nodes/{deployment}/{node}", "Changes a node", Nothing),
    delete("/nodes/{deployment}/{node}", "Deletes a node"),
    get("/ok", "Tells whether the manager works", Value).open().also(&[500]),
    get("/operations", "Lists operations of a graph or an execution", Page(Operations)),
    post("/operations", "Changes stored operations", Nothing).also(&[404]),
    get("/operations/{id}", "Gives an operation", One(Operations)),
    put("/operations/{id}", "Adds an operation to a graph", Made(Operations)),
    patch("/operations/{id}", "Reports an operation's state", Value),
    delete("/operations/{id}", "Deletes an operation"),
    get("/permissions", "Lists which roles hold which permissions", Value),
    get("/permissions/{role}", "Lists a role's permissions", Value),
    put("/permissions/{role}/{permission}", "Gives a role a permission", Value).takes(Takes::Nothing),
    delete("/permissions/{role}/{permission}", "Takes a permission from a role"),
    get("/plugins-updates", "Lists updates of plugins", Page(PluginsUpdates)),
    get("/plugins-updates/{id}", "Gives an update of plugins", One(PluginsUpdates)),
    post("/plugins-updates/{id}/update/initiate", "Updates the plugins of a blueprint's deployments", One(PluginsUpdates)).takes(MaybeJson),
    post("/plugins-updates/{id}/update/finalize", "Ends an update; workflows do so themselves", One(PluginsUpdates)).takes(Takes::Nothing),
    get("/plugins", "Lists plugins", Page(Plugins)),
    post("/plugins", "Uploads a plugin, or several in a caravan", Made(Plugins)).takes(Takes::File),
    get("/plugins/{id}", "Gives a plugin", One(Plugins)),
    post("/plugins/{id}", "Has a plugin installed", One(Plugins)),
    put("/plugins/{id}", "Reports the state of an installation", One(Plugins)),
    patch("/plugins/{id}", "Changes a plugin", One(Plugins)),
    delete("/plugins/{id}", "Deletes a plugin").takes(MaybeJson).also(&[405]),
    get("/plugins/{id}/archive", "Downloads the wagon, or everything", File),
    get("/plugins/{id}/yaml", "Downloads the plugin's YAML file", File),
    patch("/plugins/{id}/set-visibility", "Widens who sees a plugin", One(Plugins)),
    get("/provider/context", "Gives the provider context", One(ProviderContext)).also(&[404]),
    post("/provider/context", "Sets the provider context", MadeValue).also(&[200]),
    post("/searches/blueprints", "Searches blueprints by rules", Page(Blueprints)).asks().also(&[404]),
    post("/searches/deployments", "Searches deployments by rules", Page(Deployments)).asks().also(&[404]),
    post("/searches/capabilities", "Searches capabilities of deployments", Value).asks(),
    post("/searches/node-instances", "Searches node instances", Page(NodeInstances)).asks(),
    post("/searches/node-types", "Searches types of nodes", Page(Nodes)).asks().also(&[404]),
    post("/searches/nodes", "Searches nodes", Page(Nodes)).asks().also(&[404]),
    post("/searches/scaling-groups", "Searches scaling groups", Value).asks().also(&[404]),
    post("/searches/secrets", "Searches secrets", Page(Secrets)).asks(),
    post("/searches/workflows", "Searches workflows of deployments", Value).asks().also(&[404]),
    get("/secrets", "Lists secrets", Page(Secrets)),
    get("/secrets/{key}", "Gives a secret", One(Secrets)),
    put("/secrets/{key}", "Creates a secret", One(Secrets)),
    patch("/secrets/{key}", "Changes a secret", One(Secrets)).takes(MaybeJson),
    delete("/secrets/{key}", "Deletes a secret"),
    patch("/secrets/{key}/set-visibility", "Widens a secret's visibility", One(Secrets)),
    get("/secrets/share/export", "Exports secrets", Value),
    post("/secrets/share/import", "Imports secrets", Value),
    get("/secrets-providers", "Lists providers of secrets", Page(SecretsProviders)),
    put("/secrets-providers", "Creates or tries a provider of secrets", One(SecretsProviders)),
    get("/secrets-providers/{name}", "Gives a provider of secrets", One(SecretsProviders)),
    patch("/secrets-providers/{name}", "Changes a provider of secrets", One(SecretsProviders)),
    delete("/secrets-providers/{name}", "Deletes a provider of secrets"),
    get("/sites", "Lists sites", Page(Sites)),
    get("/sites/{name}", "Gives a site", One(Sites)),
    put("/sites/{name}", "Creates a site", One(Sites)).takes(MaybeJson).makes(),
    post("/sites/{name}", "Changes a site", One(Sites)),
    delete("/sites/{name}", "Deletes a site"),
    get("/snapshot-status", "Tells whether a snapshot is being restored", Value).open(),
    get("/snapshots", "Lists snapshots", Page(Snapshots)),
    get("/snapshots/{id}", "Gives a snapshot", One(Snapshots)),
    put("/snapshots/{id}", "Makes a snapshot", Made(Executions)).makes(),
    patch("/snapshots/{id}", "Reports a snapshot's status", Value),
    delete("/snapshots/{id}", "Deletes a snapshot").gives(One(Snapshots)),
    get("/snapshots/{id}/archive", "Downloads a snapshot", File),
    put("/snapshots/{id}/archive", "Takes a snapshot in", Made(Snapshots)).takes(Takes::File).makes(),
    post("/snapshots/{id}/restore", "Restores a snapshot", Value),
    get("/status", "Tells how the manager's services are", Value),
    get("/summary/{type}", "Counts resources by their fields", Value),
    get("/tasks_graphs", "Lists an execution's graphs of tasks", Page(TasksGraphs)),
    post("/tasks_graphs/{anything}", "Stores a graph of tasks", Made(TasksGraphs)),
    patch("/tasks_graphs/{id}", "Reports a graph's state", One(TasksGraphs)),
    get("/tenants", "Lists tenants", Page(Tenants)),
    put("/tenants/users", "Adds a user to a tenant", One(Tenants)).also(&[404]),
    patch("/tenants/users", "Changes a user's role in a tenant", One(Tenants)).also(&[404]),
    delete("/tenants/users", "Removes a user from a tenant").takes(Json).also(&[404]),
    put("/tenants/user-groups", "Adds a group of users to a tenant", One(Tenants)).also(&[404]),
    patch("/tenants/user-groups", "Changes a group's role in a tenant", One(Tenants)).also(&[404]),
    delete("/tenants/user-groups", "Removes a group of users from a tenant").takes(Json).also(&[404]),
    get("/tenants/{name}", "Gives a tenant", One(Tenants)),
    post("/tenants/{name}", "Creates a tenant", Made(Tenants)).takes(MaybeJson).makes(),
    delete("/tenants/{name}", "Deletes a tenant"),
    get("/tokens", "Lists access tokens", Page(Tokens)),
    post("/tokens", "Creates an access token", One(Tokens)).takes(MaybeJson),
    get("/tokens/{id}", "Gives an access token", One(Tokens)),
    delete("/tokens/{id}", "Deletes an access token"),
    get("/user", "Gives the caller", One(Users)).also(&[404]),
    get("/user-groups", "Lists groups of users", Page(UserGroups)),
    post("/user-groups", "Creates a group of users", Made(UserGroups)),
    put("/user-groups/users", "Puts a user into a group", One(UserGroups)).also(&[404]),
    delete("/user-groups/users", "Takes a user out of a group").takes(Json).also(&[404]),
    get("/user-groups/{name}", "Gives a group of users", One(UserGroups)),
    post("/user-groups/{name}", "Changes a group's system role", One(UserGroups)),
    delete("/user-groups/{name}", "Deletes a group of users"),
    get("/users", "Lists users", Page(Users)),
    put("/users", "Creates a user", Made(Users)),
    get("/users/{username}", "Gives a user", One(Users)),
    post("/users/{username}", "Changes a user's password or role", One(Users)),
    delete("/users/{username}", "Deletes a user"),
    post("/users/active/{username}", "Activates or deactivates a user", One(Users)),
    post("/users/unlock/{username}", "Unlocks a user", One(Users)).takes(Takes::Nothing),
    get("/version", "Tells the manager's version", Value),
    get("/workflows", "Lists workflows of deployments", Value),
];

/// Beside the API.
#[rustfmt::skip]
pub(super) const OUTSIDE: &[Operation] = &[
    get("/api/version", "Tells the manager's version", Value).open(),
    get("/livez", "Tells whether the process lives", Value).open(),
    get("/metrics", "Gives the process' metrics", Told("text/plain")).open(),
    get("/openapi.json", "Describes the API", Value).open(),
    get("/readyz", "Tells whether requests can be served", Value).open(),
    get("/resources/{path}", "Gives a file, or a directory's index or archive", Tree),
    put("/resources/{path}", "Stores a file or an archive's members", Value).takes(Takes::File),
    post("/resources/{path}", "Stores the files of a form", Value).takes(Takes::File),
    delete("/resources/{path}", "Deletes a file"),
];
