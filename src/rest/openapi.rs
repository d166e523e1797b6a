//! `/openapi.json`: the API described as OpenAPI 3.1. What there is stands in one table
//! (`operations`); fields of resources, filters and parameters come from the views. A test holds
//! the table against the router.
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, header::CONTENT_TYPE};
use stratalog_projections::View;
use utoipa::openapi::{
    Components, ComponentsBuilder, Content, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder,
    Paths, PathsBuilder, Ref, Required, Response, ResponseBuilder,
    path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::{RequestBody, RequestBodyBuilder},
    security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
};
use warp::{Filter, reply};

use self::operations::{Gives, Operation, Takes};
use super::{Route, reply as answers};
use crate::error::Error;

mod operations;
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
    components.build()
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
    let (status, response) = response(operation.gives);
    let mut builder = OperationBuilder::new()
        .tag(tag)
        .summary(Some(operation.summary))
        .operation_id(Some(id))
        .request_body(request_body(operation.takes))
        .response(status, response)
        .response("default", refusal());
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
    if path.starts_with("/api/v3.1/") {
        let tenant = ParameterBuilder::new()
            .name("Tenant")
            .parameter_in(ParameterIn::Header);
        parameters.push(tenant.schema(Some(schemas::text())).build());
        if operation.method == "GET" {
            parameters.push(query(
                "_as_of",
                "A position of the log or an RFC 3339 time",
                true,
            ));
        }
    }
    match operation.gives {
        Gives::Page(view) => parameters.extend(listing(view)),
        Gives::One(_) | Gives::Made(_) => {
            parameters.push(query(
                "_include",
                "Fields wanted, separated by commas",
                true,
            ));
        }
        _ => {}
    }
    parameters
}

fn query(name: &str, description: &str, is_text: bool) -> Parameter {
    let schema = match is_text {
        true => schemas::text(),
        false => schemas::number(),
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// What every list can be asked, and the fields it can be filtered by.
fn listing(view: View) -> Vec<Parameter> {
    let mut parameters = vec![
        query("_include", "Fields wanted, separated by commas", true),
        query("_size", "Size of a page", false),
        query("_offset", "Rows to skip", false),
        query("_sort", "Field to sort by; a minus in front reverses", true),
        query("_search", "Text to look for", true),
        query(
            "_all_tenants",
            "Whether rows of all one's tenants are listed",
            true,
        ),
        query("_get_all_results", "Whether pages are of no interest", true),
    ];
    let fields = view
        .def()
        .fields
        .iter()
        .filter(|field| field.is_filterable());
    let filters = fields.map(|field| query(field.name, "Only rows with this value", true));
    parameters.extend(filters);
    parameters
}

fn request_body(takes: Takes) -> Option<RequestBody> {
    let (kind, content, required) = match takes {
        Takes::Nothing => return None,
        Takes::Json => (JSON, Content::new(Some(schemas::object())), Required::True),
        Takes::MaybeJson => (JSON, Content::new(Some(schemas::object())), Required::False),
        Takes::File => (FILE, Content::new(Some(schemas::binary())), Required::True),
    };
    let body = RequestBodyBuilder::new().content(kind, content);
    Some(body.required(Some(required)).build())
}

fn response(gives: Gives) -> (&'static str, Response) {
    let json = |description: &str, content: Content| {
        ResponseBuilder::new()
            .description(description)
            .content(JSON, content)
            .build()
    };
    let resource = |view: View| match schemas::name(view) {
        Some(name) => Content::new(Some(Ref::from_schema_name(name))),
        None => Content::new(Some(schemas::object())),
    };
    match gives {
        Gives::Page(view) => (
            "200",
            json("A page", Content::new(Some(schemas::page(view)))),
        ),
        Gives::One(view) => ("200", json("The resource", resource(view))),
        Gives::Made(view) => ("201", json("The new resource", resource(view))),
        Gives::Value => (
            "200",
            json("The answer", Content::new(Some(schemas::any()))),
        ),
        Gives::MadeValue => (
            "201",
            json("The answer", Content::new(Some(schemas::any()))),
        ),
        Gives::Nothing => ("204", ResponseBuilder::new().description("Done").build()),
        Gives::File => {
            let content = Content::new(Some(schemas::binary()));
            let response = ResponseBuilder::new()
                .description("The file")
                .content(FILE, content);
            ("200", response.build())
        }
    }
}

fn refusal() -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Error")));
    ResponseBuilder::new()
        .description("Why not")
        .content(JSON, content)
        .build()
}
