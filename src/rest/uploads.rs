//! Uploaded files on their way into the spool: whole bodies, and parts of forms.
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::CONTENT_TYPE;
use multer::{Constraints, Multipart, SizeLimit};

use super::{BodyStream, Request};
use crate::{
    error::{Error, ErrorCode},
    files::{self, blobs::Staged},
};

/// Largest field of a form that is not a file.
const FIELD_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A form with at most one file in it.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// Names and values of the other fields.
    pub(super) fields: Vec<(String, String)>,
    /// The files, with the name each was sent under.
    pub(super) files: Vec<(String, Staged)>,
}

impl Form {
    /// First value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The boundary, when the body is a form.
pub(super) fn boundary<B>(req: &Request<B>) -> Option<String> {
    let text = req.head.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    multer::parse_boundary(text).ok()
}

/// Spools a whole body; nothing when it is empty.
///
/// # Errors
/// 413 when it is too large, 400 when it breaks off.
pub(super) async fn whole(req: Request<BodyStream>) -> Result<(Request, Option<Staged>), Error> {
    let (req, body) = req.split();
    let staged = stage(&req, body).await?;
    let staged = (staged.stored().size_bytes > 0).then_some(staged);
    Ok((req, staged))
}

/// Reads a whole body that is text.
///
/// # Errors
/// 413 when it is too large, 400 when it breaks off or is no UTF-8.
pub(super) async fn words(
    req: Request<BodyStream>,
    bytes_max: u64,
) -> Result<(Request, String), Error> {
    let (req, mut body) = req.split();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() as u64 > bytes_max {
            return Err(too_large(bytes_max));
        }
    }
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| Error::bad_parameters("The uploaded file is no UTF-8"))?;
    Ok((req, text))
}

/// Reads a form, spooling its files.
///
/// # Errors
/// 413 when it is too large, 400 when it is no form.
pub(super) async fn form(
    req: Request<BodyStream>,
    boundary: String,
) -> Result<(Request, Form), Error> {
    let (req, body) = req.split();
    let bytes_max = req.ctx.settings.upload_bytes_max;
    let limits = SizeLimit::new().whole_stream(bytes_max);
    let mut parts =
        Multipart::with_constraints(body, boundary, Constraints::new().size_limit(limits));
    let mut form = Form::default();
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        let name = part.name().unwrap_or_default().to_owned();
        match part.file_name().map(str::to_owned) {
            Some(file) => form.files.push((file, stage(&req, part).await?)),
            None => {
                let value = text(part).await?;
                form.fields.push((name, value));
            }
        }
    }
    Ok((req, form))
}

async fn text(mut part: multer::Field<'_>) -> Result<String, Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = part.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > FIELD_BYTES_MAX {
            return Err(too_large(FIELD_BYTES_MAX));
        }
    }
    String::from_utf8(bytes).map_err(|_| Error::bad_parameters("A field of the form is no UTF-8"))
}

async fn stage<E>(
    req: &Request,
    stream: impl Stream<Item = Result<Bytes, E>> + Send,
) -> Result<Staged, Error>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = stream.map(|chunk| chunk.map_err(Into::into));
    let bytes_max = req.ctx.settings.upload_bytes_max;
    let staged = req
        .ctx
        .blobs
        .stage_stream::<_, Bytes, Box<dyn std::error::Error + Send + Sync>>(stream, bytes_max)
        .await;
    staged.map_err(|error| match error {
        files::Error::TooLarge { limit_bytes } => too_large(limit_bytes),
        files::Error::Upload(source) => match source.downcast::<Error>() {
            Ok(refusal) => *refusal,
            Err(source) => match source.downcast::<multer::Error>() {
                Ok(error) => broken(*error),
                Err(source) => Error::bad_parameters(format!("The upload broke off: {source}")),
            },
        },
        other => Error::internal(other),
    })
}

fn broken(error: multer::Error) -> Error {
    match error {
        multer::Error::StreamSizeExceeded { limit }
        | multer::Error::FieldSizeExceeded { limit, .. } => too_large(limit),
        other => Error::bad_parameters(format!("The form cannot be read: {other}")),
    }
}

fn too_large(limit_bytes: u64) -> Error {
    Error::refused(
        ErrorCode::PayloadTooLarge,
        format!("The request body is larger than {limit_bytes} bytes"),
    )
}
