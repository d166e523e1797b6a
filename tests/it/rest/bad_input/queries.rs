//! Queries, moments, names of nothing, methods that are not there.
use super::row::{Row, row};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row("GET", "blueprints?_size=-1").bad(),
        row("GET", "blueprints?_size=many").bad(),
        row("GET", "blueprints?_size=99999999999999999999").bad(),
        row("GET", "blueprints?_offset=-1").bad(),
        row("GET", "blueprints?_sort=nonsense").bad(),
        row("GET", "blueprints?_sort=-plan%27;DROP").bad(),
        row("GET", "blueprints?nonsense=1").bad(),
        row("GET", "blueprints?_all_tenants=perhaps").bad(),
        row("GET", "blueprints?_include=nonsense").is(400, "no_such_include_field_error"),
        row("GET", "deployments/dep?_include=id,nonsense").is(400, "no_such_include_field_error"),
        row("GET", "deployments?labels=x").bad(),
        row("GET", "deployments/dep?include_workdir=perhaps").bad(),
        row("GET", "nodes?nonsense=1").bad(),
        row("GET", "nodes?id=a%00b").bad(),
        row("GET", "blueprints?_search=%00").bad(),
        row("GET", "deployments/a%00b").bad(),
        row("GET", "node-instances?_sort=nonsense").bad(),
        row("GET", "users?_include=password").is(400, "no_such_include_field_error"),
        row("GET", "summary/deployments").bad(),
        row("GET", "summary/deployments?_target_field=id").bad(),
        row(
            "GET",
            "summary/blueprints?_target_field=tenant_name&_sub_field=id",
        )
        .bad(),
    ]
}

pub(super) fn of_moments() -> Vec<Row> {
    let header = |moment: &str| row("GET", "blueprints").header("X-As-Of", moment);
    vec![
        row("GET", "blueprints?_as_of=").bad(),
        row("GET", "blueprints?_as_of=-1").bad(),
        row("GET", "blueprints?_as_of=1.5").bad(),
        row("GET", "blueprints?_as_of=yesterday").bad(),
        row("GET", "blueprints?_as_of=2026-13-01T00:00:00Z").bad(),
        row("GET", "blueprints?_as_of=2026-01-01").bad(),
        row("GET", "blueprints?_as_of=99999999").bad(),
        row("GET", "blueprints?_as_of=9223372036854775807").bad(),
        row("GET", "blueprints?_as_of=9223372036854775808").bad(),
        row("GET", "deployments/dep?_as_of=x").bad(),
        row("GET", "events?_as_of=x").bad(),
        header("-1").bad(),
        header("99999999").bad(),
        header("caf\u{e9}").bad(),
    ]
}

pub(super) fn of_unknown_things() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        "blueprints/no",
        "blueprints/no/archive",
        "blueprints/%ff",
        "deployments/no",
        "deployments/no/outputs",
        "deployments/no/capabilities",
        "executions/no",
        "node-instances/no",
        "users/nobody",
        "tokens/no",
        "config/no.such",
        "permissions/nobody",
        "summary/nonsense?_target_field=id",
        "nonsense",
        "/nonsense",
        "/",
        "/api",
        "/api/v9/blueprints",
        "/api/v3.1",
        "/resources/deployments/default_tenant/dep/no.txt",
        "/resources/blueprints/nowhere/bp/blueprint.yaml",
    ]
    .into_iter()
    .map(|path| row("GET", path).missing())
    .collect();
    rows.push(row("DELETE", "blueprints/no").missing());
    rows.push(row("DELETE", "deployments/no").missing());
    rows.push(row("DELETE", "tokens/no").missing());
    rows.push(row("GET", "tenants/nowhere").is(403, "forbidden_error"));
    rows
}

pub(super) fn of_wrong_methods() -> Vec<Row> {
    [
        ("PUT", "blueprints"),
        ("DELETE", "deployments"),
        ("POST", "deployments/dep"),
        ("PATCH", "version"),
        ("DELETE", "status"),
        ("PATCH", "users"),
        ("PUT", "executions"),
        ("TRACE", "blueprints"),
        ("OPTIONS", "blueprints"),
        ("PATCH", "/resources/deployments/default_tenant/dep/x"),
    ]
    .into_iter()
    .map(|(method, path)| row(method, path).is(405, "method_not_allowed_error"))
    .collect()
}
