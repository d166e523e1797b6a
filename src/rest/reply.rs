//! Responses made of answers and errors.
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, ETAG},
};
use serde_json::{Map, Value, json};
use warp::reply::Response;

use super::{Answer, route::LOG_POSITION};
use crate::error::Error;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// 200 with a body.
pub fn ok(outcome: Result<Answer, Error>) -> Response {
    with(StatusCode::OK, outcome)
}

/// 201 with a body.
pub fn created(outcome: Result<Answer, Error>) -> Response {
    with(StatusCode::CREATED, outcome)
}

/// 204 without one.
pub fn no_content(outcome: Result<(), Error>) -> Response {
    match outcome {
        Ok(()) => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Err(error) => self::error(&error),
    }
}

/// Whatever status goes with a body.
pub fn with(status: StatusCode, outcome: Result<Answer, Error>) -> Response {
    match outcome {
        Ok(answer) => json_response(status, answer),
        Err(error) => self::error(&error),
    }
}

/// A response the handler made itself: files, archives.
pub fn any(outcome: Result<Response, Error>) -> Response {
    outcome.unwrap_or_else(|error| self::error(&error))
}

/// The same response, true at a position that was asked for.
pub fn at(mut response: Response, position: Option<i64>) -> Response {
    if let Some(position) = position {
        let headers = response.headers_mut();
        headers.insert(LOG_POSITION, HeaderValue::from(position));
    }
    response
}

fn json_response(status: StatusCode, answer: Answer) -> Response {
    let mut response = Response::new(answer.body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    if let Some(position) = answer.position {
        headers.insert(LOG_POSITION, HeaderValue::from(position));
    }
    if let Some(since) = answer.since
        && let Ok(tag) = HeaderValue::try_from(format!("\"{since}\""))
    {
        headers.insert(ETAG, tag);
    }
    response
}

/// The wire's error body. What is our fault is logged here, and told without its details.
pub fn error(error: &Error) -> Response {
    let mut body = Map::new();
    let mut traceback = Value::Null;
    let message = match error {
        Error::Internal(source) => {
            tracing::error!(error = format!("{source:#}"), "a request failed");
            traceback = json!("see the manager's log");
            "Internal error occurred in manager REST server - InternalServerError".to_owned()
        }
        Error::Unavailable(reason) => {
            tracing::warn!(reason, "a request failed for now");
            "The manager's database is unavailable".to_owned()
        }
        Error::Refused { message, extra, .. } => {
            if let Some(extra) = extra {
                body.extend((**extra).clone());
            }
            message.clone()
        }
        conflict @ Error::Conflict { .. } => conflict.to_string(),
    };
    body.insert("message".to_owned(), message.into());
    body.insert("error_code".to_owned(), error.code().into());
    body.insert("server_traceback".to_owned(), traceback);
    let text = Value::Object(body).to_string();
    json_response(error.status(), Answer::text(text))
}
