//! `/openapi.json`: the API described as OpenAPI 3.1. What there is stands in one table
//! (`operations`); fields of resources, filters and parameters come from the views. A test holds
//! the table against the router.
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, header::CONTENT_TYPE};
use stratalog_projections::View;
use utoipa::openapi::{
    Components, ComponentsBuilder, Content, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder,
    Paths, PathsBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Schema,
    path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn, ParameterStyle},
    request_body::{RequestBody, RequestBodyBuilder},
    security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
};
use warp::{Filter, reply};

use self::operations::{Access, Gives, Operation, Takes};
use super::{
    Route, reply as answers,
    terms::{self, IDEMPOTENCY_KEY},
};
use crate::error::Error;

mod bodies;
mod operations;
mod queries;
mod refusals;
mod schemas;

const JSON: &str = "application/json";
const FILE: &str = "application/octet-stream";

/// `GET /openapi.json`, for anybody.
pub(super) fn routes() -> Route {
    let document = document().to_json().map(Bytes::from).map_err(Arc::new);
    warp::path!("openapi.json")
        .and(warp::get())
        .map(move || match &document {
            Ok(text) => {
                let mut response = reply::Response::new(text.clone().into());
                let json = HeaderValue::from_static(JSON);
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
            Err(error) => answers::error(&Error::internal(error.clone())),
        })
        .boxed()
}

fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Stratalog")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Event-sourced, drop-in manager for Cloudify blueprints",
        ))
        .build();
    let schemes = ["basic", "token", "execution"];
    let security = schemes.map(|name| SecurityRequirement::new(name, [] as [&str; 0]));
    OpenApiBuilder::new()
        .info(info)
        .paths(paths())
        .components(Some(components()))
        .security(Some(security))
        .build()
}

fn components() -> Components {
    let header = |name: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name)));
    let mut components = ComponentsBuilder::new()
        .security_scheme(
            "basic",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)),
        )
        .security_scheme("token", header("Authentication-Token"))
        .security_scheme("execution", header("Execution-Token"))
        .schema("Error", schemas::error());
    for view in View::ALL {
        if let Some(name) = schemas::name(view) {
            components = components.schema(name, schemas::resource(view));
        }
    }
    refusals::components(components).build()
}

fn paths() -> Paths {
    let mut paths = PathsBuilder::new().build();
    let versioned = operations::VERSIONED.iter();
    let versioned = versioned.map(|operation| (format!("/api/v3.1{}", operation.path), operation));
    let outside = operations::OUTSIDE.iter();
    let outside = outside.map(|operation| (operation.path.to_owned(), operation));
    for (path, operation) in versioned.chain(outside) {
        let described = described(operation, &path);
        paths.add_path_operation(&path, vec![method(operation)], described);
    }
    paths
}

fn method(operation: &Operation) -> HttpMethod {
    match operation.method {
        "PUT" => HttpMethod::Put,
        "POST" => HttpMethod::Post,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn described(operation: &Operation, path: &str) -> utoipa::openapi::path::Operation {
    let segments = operation.path.split(['/', '-', '_', '.']);
    let words: Vec<&str> = segments
        .map(|word| word.trim_matches(['{', '}']))
        .filter(|word| !word.is_empty())
        .collect();
    let id = format!("{}_{}", operation.method.to_lowercase(), words.join("_"));
    let tag = operation.path.split('/').nth(1).unwrap_or_default();
    let (status, response) = response(operation);
    let mut builder = OperationBuilder::new()
        .tag(tag)
        .summary(Some(operation.summary))
        .operation_id(Some(id))
        .request_body(request_body(operation))
        .response(status, response);
    for (status, refusal) in refusals::of(operation) {
        builder = builder.response(status.to_string(), refusal);
    }
    if operation.access == Access::Anybody {
        builder = builder.securities(Some([] as [SecurityRequirement; 0]));
    }
    for parameter in parameters(operation, path) {
        builder = builder.parameter(parameter);
    }
    builder.build()
}

fn parameters(operation: &Operation, path: &str) -> Vec<Parameter> {
    let names = path.split('{').skip(1);
    let names = names.filter_map(|rest| rest.split('}').next());
    let mut parameters: Vec<Parameter> = names
        .map(|name| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(schemas::text()))
                .build()
        })
        .collect();
    if operation.access == Access::Known {
        let tenant = "The tenant to work in";
        parameters.push(header("Tenant", tenant, schemas::text()));
        let position = "Waits until the manager knows the log up to this position";
        parameters.push(header("X-Min-Position", position, schemas::count()));
        if operation.is_change() {
            let key = "Sent again with the same key, the request has its effect once";
            parameters.push(header(IDEMPOTENCY_KEY, key, schemas::key()));
        }
        if operation.is_change() && terms::is_tagged(operation.path) {
            let tags = "Changes the resource only if it still has one of these tags";
            parameters.push(header("If-Match", tags, schemas::text()));
        }
        if operation.method == "GET" && !operation.is_now {
            let moment = "A position of the log or an RFC 3339 time";
            parameters.push(query("_as_of", moment, schemas::moment()));
        }
    }
    match operation.gives {
        Gives::Page(view) => parameters.extend(listing(view, operation)),
        Gives::One(view) | Gives::Made(view) => parameters.push(include(view)),
        _ => {}
    }
    for key in queries::parameters(operation.method, operation.path) {
        // some are fields of the list, too, and asked for by all means
        parameters.retain(|known| known.name != key.name);
        parameters.push(key);
    }
    parameters
}

fn header(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    parameter(ParameterIn::Header, (name, description), schema)
}

fn query(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    parameter(ParameterIn::Query, (name, description), schema)
}

fn parameter(
    place: ParameterIn,
    (name, description): (&str, &str),
    schema: impl Into<RefOr<Schema>>,
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

fn include(view: View) -> Parameter {
    let names = view.def().fields.iter().map(|field| field.name.to_owned());
    ParameterBuilder::new()
        .name("_include")
        .parameter_in(ParameterIn::Query)
        .description(Some("Fields wanted, separated by commas"))
        .schema(Some(schemas::texts_of(names)))
        .style(Some(ParameterStyle::Form))
        .explode(Some(false))
        .build()
}

/// What every list can be asked, and the fields it can be filtered by; a search says in its body
/// what it wants.
fn listing(view: View, operation: &Operation) -> Vec<Parameter> {
    let is_filterable = |field: &&stratalog_projections::Field| field.is_filterable();
    let fields = view.def().fields.iter().filter(is_filterable);
    let orders = fields.clone().map(|field| field.name);
    let orders = orders.flat_map(|name| [name.to_owned(), format!("-{name}")]);
    let mut parameters = vec![
        include(view),
        query("_size", "Size of a page", schemas::count()),
        query("_offset", "Rows to skip", schemas::count()),
        query(
            "_cursor",
            "Where the page begins: `next` of the page before, or nothing for the first page",
            schemas::text(),
        ),
        query(
            "_sort",
            "Fields to sort by; a minus in front reverses",
            schemas::texts_of(orders),
        ),
        query("_search", "Text to look for", schemas::text()),
        query(
            "_all_tenants",
            "Whether rows of all one's tenants are listed",
            schemas::flag(),
        ),
        query(
            "_get_all_results",
            "Whether pages are of no interest",
            schemas::flag(),
        ),
    ];
    if operation.method == "GET" {
        let filter = |field: &stratalog_projections::Field| {
            let schema = schemas::filter(field.kind);
            query(field.name, "Only rows with this value", schema)
        };
        parameters.extend(fields.map(filter));
    }
    parameters
}

fn request_body(operation: &Operation) -> Option<RequestBody> {
    let json = || match bodies::members(operation.method, operation.path) {
        Some(members) => Content::new(Some(bodies::schema(members))),
        None => Content::new(Some(schemas::object())),
    };
    let (kind, content, required) = match operation.takes {
        Takes::Nothing => return None,
        Takes::Json => (JSON, json(), Required::True),
        Takes::MaybeJson => (JSON, json(), Required::False),
        Takes::File => (FILE, Content::new(Some(schemas::binary())), Required::True),
    };
    let body = RequestBodyBuilder::new().content(kind, content);
    Some(body.required(Some(required)).build())
}

/// What an operation answers when all is well.
fn response(operation: &Operation) -> (&'static str, Response) {
    let with = |description: &str, kind: &str, content: Content| {
        ResponseBuilder::new()
            .description(description)
            .content(kind, content)
            .build()
    };
    let json = |description: &str, content| with(description, JSON, content);
    let any = || Content::new(Some(schemas::any()));
    let resource = |view: View| match schemas::name(view) {
        Some(name) => Content::new(Some(Ref::from_schema_name(name))),
        None => Content::new(Some(schemas::object())),
    };
    let file = || Content::new(Some(schemas::binary()));
    match operation.gives {
        Gives::Page(view) => {
            let page = Content::new(Some(schemas::page(view)));
            ("200", json("A page", page))
        }
        Gives::One(view) => ("200", json("The resource", resource(view))),
        Gives::Made(view) => ("201", json("The new resource", resource(view))),
        Gives::Value => ("200", json("The answer", any())),
        Gives::MadeValue => ("201", json("The answer", any())),
        Gives::Nothing => ("204", ResponseBuilder::new().description("Done").build()),
        Gives::File => ("200", with("The file", FILE, file())),
        Gives::Tree => {
            let builder = ResponseBuilder::new()
                .description("The file, the archive or the index")
                .content(FILE, file());
            ("200", builder.content(JSON, any()).build())
        }
        Gives::Told(kind) => {
            let text = Content::new(Some(schemas::text()));
            ("200", with("What is told", kind, text))
        }
    }
}
