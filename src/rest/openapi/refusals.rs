//! Answers other than the one that is hoped for: which an operation can give, and what they say.
use std::collections::BTreeMap;

use utoipa::openapi::{ComponentsBuilder, Content, Ref, Response, ResponseBuilder};

use super::{
    JSON,
    operations::{Access, Effect, Gives, Operation, Takes},
    schemas,
};
use crate::rest::terms;

/// What comes with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Nothing,
    Error,
    Anything,
}

/// Status, name among the components, meaning.
const ALL: &[(u16, &str, &str, Says)] = &[
    (200, "Known", "It was there already", Says::Anything),
    (204, "Done", "Done, with nothing to tell", Says::Nothing),
    (206, "Part", "The part of the file asked for", Says::Nothing),
    (304, "NotModified", "Nothing has changed", Says::Nothing),
    (
        400,
        "BadRequest",
        "The request makes no sense, or not now",
        Says::Error,
    ),
    (401, "Unauthorized", "It is not known who asks", Says::Error),
    (
        403,
        "Forbidden",
        "The caller may not do it, or not in this tenant",
        Says::Error,
    ),
    (404, "NotFound", "What is named is not there", Says::Error),
    (405, "InUse", "It is in use", Says::Error),
    (
        409,
        "Conflict",
        "It is there already, is in another state, or was changed meanwhile",
        Says::Error,
    ),
    (
        412,
        "OtherFile",
        "The file is another one than expected",
        Says::Nothing,
    ),
    (413, "TooLarge", "The body is too large", Says::Error),
    (
        422,
        "KeyReused",
        "Another request was sent with the same Idempotency-Key",
        Says::Error,
    ),
    (
        415,
        "UnsupportedMediaType",
        "The body does not claim to be JSON",
        Says::Error,
    ),
    (
        416,
        "RangeNotSatisfiable",
        "The file does not reach that far",
        Says::Nothing,
    ),
    (500, "Failing", "A service does not work", Says::Anything),
    (
        503,
        "Unavailable",
        "The database cannot be reached, or the manager is in maintenance or being restored",
        Says::Error,
    ),
];

/// 412 of what is no file.
const CHANGED: (&str, &str, Says) = (
    "PreconditionFailed",
    "The resource is not what If-Match says",
    Says::Error,
);

/// All of them, for operations to refer to.
pub(super) fn components(mut components: ComponentsBuilder) -> ComponentsBuilder {
    for (_, name, meaning, says) in ALL {
        components = components.response(*name, response(meaning, *says));
    }
    let (name, meaning, says) = CHANGED;
    components.response(name, response(meaning, says))
}

fn response(meaning: &str, says: Says) -> Response {
    let builder = ResponseBuilder::new().description(meaning);
    let content = match says {
        Says::Nothing => return builder.build(),
        Says::Error => Content::new(Some(Ref::from_schema_name("Error"))),
        Says::Anything => Content::new(Some(schemas::any())),
    };
    builder.content(JSON, content).build()
}

/// Those that an operation can give, by status.
pub(super) fn of(operation: &Operation) -> BTreeMap<u16, Ref> {
    let mut statuses = operation.also.to_vec();
    if operation.access == Access::Known {
        statuses.extend([400, 401, 403, 503]);
        if operation.path.contains('{') && operation.effect != Effect::Makes {
            statuses.push(404);
        }
        if operation.is_change() {
            statuses.extend([409, 422]);
        }
    }
    match operation.takes {
        Takes::Nothing => {}
        Takes::Json => statuses.extend([413, 415]),
        Takes::MaybeJson | Takes::File => statuses.push(413),
    }
    if matches!(operation.gives, Gives::File | Gives::Tree) {
        statuses.extend([206, 304, 412, 416]);
    }
    let known = ALL.iter().filter(|(status, ..)| statuses.contains(status));
    let known = known.map(|(status, name, ..)| (*status, Ref::from_response_name(*name)));
    let mut refusals: BTreeMap<u16, Ref> = known.collect();
    if operation.is_change() && terms::is_tagged(operation.path) {
        refusals.insert(412, Ref::from_response_name(CHANGED.0));
    }
    refusals
}
