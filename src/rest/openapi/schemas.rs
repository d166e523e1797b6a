//! Schemas, made of what the views say about their fields.
use stratalog_projections::{Kind, View};
use utoipa::openapi::{
    Array, ArrayBuilder, KnownFormat, Object, ObjectBuilder, Ref, RefOr, Schema, SchemaFormat,
    schema::{AnyOfBuilder, SchemaType, Type},
};

/// Name of a resource's schema; nothing for what the API does not show as such.
pub(super) fn name(view: View) -> Option<&'static str> {
    Some(match view {
        View::Users => "User",
        View::Tokens => "Token",
        View::Tenants => "Tenant",
        View::Config => "Setting",
        View::ProviderContext => "ProviderContext",
        View::Blueprints => "Blueprint",
        View::Deployments => "Deployment",
        View::Nodes => "Node",
        View::NodeInstances => "NodeInstance",
        View::Executions => "Execution",
        View::TasksGraphs => "TasksGraph",
        View::Operations => "Operation",
        View::Snapshots => "Snapshot",
        View::Agents => "Agent",
        View::Filters => "Filter",
        View::Schedules => "ExecutionSchedule",
        View::DeploymentGroups => "DeploymentGroup",
        View::ExecutionGroups => "ExecutionGroup",
        View::DeploymentModifications => "DeploymentModification",
        View::DeploymentUpdates => "DeploymentUpdate",
        View::InterDeploymentDependencies => "InterDeploymentDependency",
        View::Sites => "Site",
        View::Secrets => "Secret",
        View::SecretsProviders => "SecretsProvider",
        View::UserGroups => "UserGroup",
        View::Maintenance => "Maintenance",
        View::Plugins => "Plugin",
        View::PluginsUpdates => "PluginsUpdate",
        View::LogBundles => "LogBundle",
        View::Files
        | View::DeploymentGroupMembers
        | View::Permissions
        | View::EventDeletions
        | View::ClusterNodes => return None,
    })
}

pub(super) fn text() -> Object {
    Object::with_type(Type::String)
}

pub(super) fn number() -> Object {
    Object::with_type(Type::Integer)
}

/// A key of the client's choice.
pub(super) fn key() -> ObjectBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.pattern(Some("^[!-~]+$"))
        .min_length(Some(1))
        .max_length(Some(255))
}

/// A number from 0.
pub(super) fn count() -> ObjectBuilder {
    let number = ObjectBuilder::new().schema_type(Type::Integer);
    number.minimum(Some(0))
}

pub(super) fn flag() -> Object {
    Object::with_type(Type::Boolean)
}

/// Some of these texts.
pub(super) fn texts_of(texts: impl Iterator<Item = String>) -> Array {
    let item = ObjectBuilder::new().schema_type(Type::String);
    ArrayBuilder::new()
        .items(item.enum_values(Some(texts)))
        .build()
}

/// A position of the log or a time.
pub(super) fn moment() -> AnyOfBuilder {
    let time = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    let text = ObjectBuilder::new().schema_type(Type::String);
    AnyOfBuilder::new()
        .item(count())
        .item(text.format(Some(time)))
}

/// A value to filter by.
pub(super) fn filter(kind: Kind) -> Object {
    match kind {
        Kind::Bool => flag(),
        _ => text(),
    }
}

pub(super) fn object() -> Object {
    Object::with_type(Type::Object)
}

pub(super) fn any() -> Object {
    Object::with_type(SchemaType::AnyValue)
}

pub(super) fn binary() -> Object {
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(format))
        .build()
}

fn nullable(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::from_iter([kind, Type::Null]))
}

/// Moments that do not say so in their name.
const MOMENTS: [&str; 4] = ["scheduled_for", "next_occurrence", "since", "until"];

/// A field of a document. Moments are kept as numbers and shown as texts, and some numbers are only
/// shown.
fn field(name: &str, kind: Kind) -> RefOr<Schema> {
    let time = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    match kind {
        _ if name.ends_with("_at") || MOMENTS.contains(&name) => {
            nullable(Type::String).format(Some(time)).into()
        }
        Kind::Text if matches!(name, "latitude" | "longitude") => nullable(Type::Number).into(),
        Kind::Text => nullable(Type::String).into(),
        Kind::Int => nullable(Type::Integer).into(),
        Kind::Bool => nullable(Type::Boolean).into(),
        Kind::Texts => {
            let list = SchemaType::from_iter([Type::Array, Type::Null]);
            ArrayBuilder::new().schema_type(list).items(text()).into()
        }
        Kind::Json => any().into(),
    }
}

/// A resource as its view keeps it.
pub(super) fn resource(view: View) -> RefOr<Schema> {
    let fields = view.def().fields.iter();
    let of_all = |object: ObjectBuilder, next: &stratalog_projections::Field| {
        object.property(next.name, field(next.name, next.kind))
    };
    fields.fold(ObjectBuilder::new(), of_all).into()
}

/// The envelope of a list.
pub(super) fn page(view: View) -> RefOr<Schema> {
    let items = match name(view) {
        Some(name) => ArrayBuilder::new().items(Ref::from_schema_name(name)),
        None => ArrayBuilder::new().items(any()),
    };
    let pagination = ["total", "size", "offset"]
        .into_iter()
        .fold(ObjectBuilder::new(), |object, name| {
            object.property(name, number())
        });
    let pagination = pagination.property("next", nullable(Type::String));
    let metadata = ObjectBuilder::new()
        .property("pagination", pagination)
        .property("filtered", nullable(Type::Integer));
    ObjectBuilder::new()
        .property("items", items)
        .property("metadata", metadata)
        .required("items")
        .required("metadata")
        .into()
}

/// What every refusal looks like.
pub(super) fn error() -> RefOr<Schema> {
    ObjectBuilder::new()
        .property("message", text())
        .property("error_code", text())
        .property("server_traceback", nullable(Type::String))
        .required("message")
        .required("error_code")
        .into()
}
