//! From a request to what a handler needs: who asks, in which tenant, with what body.
//! Authentication and the permission come before a JSON body is read.
use std::{convert::Infallible, pin::Pin, sync::Arc};

use bytes::{Buf, Bytes};
use futures::{Stream, StreamExt};
use http::{HeaderMap, Method};
use serde::{Serialize, de::DeserializeOwned};
use stratalog_projections::{At, View as ViewName};
use uuid::Uuid;
use warp::{Filter, Rejection, path::FullPath, reply::Response};

use super::{
    Answer, Include, Query, Version,
    body::{self, Nul},
};
use crate::{
    auth::{Caller, Carried},
    commands::{self, secrets::Opener},
    context::{Context, Resources, Restoring},
    error::{Error, ErrorCode},
    files::{
        manifest::{Entry, Manifest},
        path::ResourcePath,
        serve::Download,
    },
    listener::{IsHead, Peer},
    store::View,
};

mod gate;
mod maintenance;
mod moment;
mod position;

pub use gate::Gate;

/// What stands before the body.
#[derive(Debug)]
pub struct Head {
    /// The method; `GET` for `HEAD`.
    pub method: Method,
    /// The path as sent.
    pub path: String,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The version of the API the path asks for.
    pub version: Version,
    /// Whether only the headers are wanted.
    pub is_head: bool,
    /// Who is at the other end.
    pub peer: Option<Peer>,
    /// Who sent it, if that has been found out already.
    known: Option<Known>,
}

/// The sender of a request that is handed on: nobody proves twice who they are.
#[derive(Debug, Clone)]
pub(super) struct Known(pub(super) Caller);

/// A request whose sender is known.
#[derive(Debug)]
pub struct Request<B = ()> {
    /// The context.
    pub ctx: Arc<Context>,
    /// Who asks, in the tenant asked for.
    pub caller: Caller,
    /// What stood before the body.
    pub head: Arc<Head>,
    /// The body.
    pub body: B,
}

/// An uploaded body, up to the size the settings allow.
pub struct BodyStream(Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>);

impl std::fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BodyStream")
    }
}

impl Stream for BodyStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl<B> Request<B> {
    /// The query.
    pub fn query(&self) -> &Query {
        &self.head.query
    }

    /// Whether the list spans all tenants of the caller.
    ///
    /// # Errors
    /// 400 for a value that is neither true nor false.
    pub fn all_tenants(&self) -> Result<bool, Error> {
        self.query().flag("_all_tenants")
    }

    /// Starts reading at the moment the client asked for.
    ///
    /// # Errors
    /// 400 for a moment that is none; `Unavailable` when the database is down.
    pub async fn view(&self) -> Result<View, Error> {
        match moment::asked(&self.head)? {
            None => self.ctx.store.read(At::Now).await,
            Some(moment) => moment.read(&self.ctx.store).await,
        }
    }

    /// The resource directory at the moment the client asked for, with its position; of an earlier
    /// moment only what lies at or below a path.
    ///
    /// # Errors
    /// 400 for a moment that is none; `Unavailable` when the database is down.
    pub async fn files(&self, path: &ResourcePath) -> Result<(Manifest, Option<i64>), Error> {
        if moment::asked(&self.head)?.is_none() {
            return Ok((self.ctx.files.load().manifest.clone(), None));
        }
        let view = self.view().await?;
        let manifest = Resources::below(&view, path).await?;
        let position = view.position();
        drop(view.finish().await?);
        Ok((manifest, Some(position)))
    }

    /// What opens secrets for the caller.
    pub fn opener(&self) -> Opener<'_> {
        Opener {
            ctx: &self.ctx,
            caller: &self.caller,
        }
    }

    /// Starts reading what is true now: what a write has just changed.
    ///
    /// # Errors
    /// `Unavailable` when the database is down.
    pub async fn now(&self) -> Result<View, Error> {
        self.ctx.store.read(At::Now).await
    }

    /// One resource as answer, as the caller may see it at the moment of a view.
    ///
    /// # Errors
    /// 404; 400 for a field in `_include` that the view does not have; database errors.
    pub async fn resource(
        &self,
        view: View,
        model: (ViewName, &str),
        id: &str,
    ) -> Result<Answer, Error> {
        let row = self.caller.get(&view, model, id).await?;
        let answer = self.document(&view, model.0, &row.doc)?;
        drop(view.finish().await?);
        Ok(answer.since(row.since))
    }

    /// A file as answer, whole or in part.
    ///
    /// # Errors
    /// The blob store's.
    pub async fn download(&self, entry: &Entry, file_name: &str) -> Result<Response, Error> {
        let download = Download {
            entry,
            file_name,
            headers: &self.head.headers,
            is_head: self.head.is_head,
        };
        let served = self.ctx.file_server.file(download).await;
        served.map_err(Error::internal)
    }

    /// A stored document as answer, with the fields asked for.
    ///
    /// # Errors
    /// 400 for a field in `_include` that the view does not have.
    pub fn document(&self, view: &View, of: ViewName, document: &str) -> Result<Answer, Error> {
        let include = self.include(of)?;
        let text = match include {
            Some(include) => include.project(document)?,
            None => document.to_owned(),
        };
        Ok(Answer::text(text).at(view.position()))
    }

    /// The fields of a view that the client wants.
    ///
    /// # Errors
    /// 400 for one that the view does not have.
    pub fn include(&self, of: ViewName) -> Result<Option<Include>, Error> {
        Include::parse(self.query(), |name| of.def().field(name).is_some())
    }

    /// A value as answer, with the top-level fields asked for.
    ///
    /// # Errors
    /// 400 for a field in `_include` that the value does not have.
    pub fn answer<T: Serialize>(&self, value: &T) -> Result<Answer, Error> {
        let text = serde_json::to_string(value).map_err(Error::internal)?;
        if self.query().get("_include").is_none() {
            return Ok(Answer::text(text));
        }
        let value: serde_json::Value = serde_json::from_str(&text).map_err(Error::internal)?;
        match Include::parse(self.query(), |name| value.get(name).is_some())? {
            Some(include) => Ok(Answer::text(include.project(&text)?)),
            None => Ok(Answer::text(text)),
        }
    }

    /// The request without its body, and the body.
    pub fn split(self) -> (Request, B) {
        let request = Request {
            ctx: self.ctx,
            caller: self.caller,
            head: self.head,
            body: (),
        };
        (request, self.body)
    }

    /// The same request with another body.
    fn with<C>(self, body: C) -> Request<C> {
        Request {
            ctx: self.ctx,
            caller: self.caller,
            head: self.head,
            body,
        }
    }
}

/// Whether the client looks at a moment of its choice.
pub(super) fn asks_for_a_moment(head: &Head) -> bool {
    !matches!(moment::asked(head), Ok(None))
}

type Outcome<B> = Result<Request<B>, Error>;

pub(super) fn head() -> impl Filter<Extract = (Arc<Head>,), Error = Infallible> + Clone {
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(raw_query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<IsHead>())
        .and(warp::ext::optional::<Peer>())
        .and(warp::ext::optional::<Known>())
        .map(
            |method, path: FullPath, query: String, headers, head: Option<IsHead>, peer, known| {
                Arc::new(Head {
                    version: Version::of_path(path.as_str()),
                    path: path.as_str().to_owned(),
                    query: Query::parse(&query),
                    is_head: head.is_some(),
                    method,
                    headers,
                    peer,
                    known,
                })
            },
        )
}

/// A request whose body, if any, does not matter.
pub fn read(
    ctx: &Arc<Context>,
) -> impl Filter<Extract = (Outcome<()>,), Error = Infallible> + Clone + use<> {
    let ctx = ctx.clone();
    head().then(move |head| authenticate(ctx.clone(), head))
}

/// Whatever anybody may ask: nobody is authenticated.
pub fn open() -> impl Filter<Extract = (Arc<Head>,), Error = Infallible> + Clone {
    head()
}

/// A request with a JSON body, of callers whom the gate admits.
pub fn write<B: DeserializeOwned + Send, G: Into<Gate>>(
    ctx: &Arc<Context>,
    gate: G,
) -> impl Filter<Extract = (Outcome<B>,), Error = Rejection> + Clone + use<B, G> {
    write_with(ctx, gate.into(), Nul::Refused)
}

/// As [`write()`], for what programs say: a NUL in it is kept, since it ends in documents only.
pub fn write_said<B: DeserializeOwned + Send, G: Into<Gate>>(
    ctx: &Arc<Context>,
    gate: G,
) -> impl Filter<Extract = (Outcome<B>,), Error = Rejection> + Clone + use<B, G> {
    write_with(ctx, gate.into(), Nul::Kept)
}

fn write_with<B: DeserializeOwned + Send>(
    ctx: &Arc<Context>,
    gate: Gate,
    nul: Nul,
) -> impl Filter<Extract = (Outcome<B>,), Error = Rejection> + Clone + use<B> {
    let ctx = ctx.clone();
    head().and(warp::body::stream()).then(move |head, stream| {
        let ctx = ctx.clone();
        async move {
            let request = authenticate(ctx, head).await?;
            gate.admit(&request.caller, &request.head)?;
            body::check_content_type(&request.head.headers)?;
            let bytes = collect(&request, stream).await?;
            let body = body::parse_with(&bytes, nul)?;
            Ok(request.with(body))
        }
    })
}

/// A request with a JSON body that may be missing.
pub fn write_optional<B: DeserializeOwned + Default + Send, G: Into<Gate>>(
    ctx: &Arc<Context>,
    gate: G,
) -> impl Filter<Extract = (Outcome<B>,), Error = Rejection> + Clone + use<B, G> {
    let (ctx, gate) = (ctx.clone(), gate.into());
    head().and(warp::body::stream()).then(move |head, stream| {
        let ctx = ctx.clone();
        async move {
            let request = authenticate(ctx, head).await?;
            gate.admit(&request.caller, &request.head)?;
            let bytes = collect(&request, stream).await?;
            let body = match bytes.trim_ascii() {
                b"" | b"null" => B::default(),
                bytes => body::parse(bytes)?,
            };
            Ok(request.with(body))
        }
    })
}

/// A request whose body is a file, whatever its content type says.
pub fn upload(
    ctx: &Arc<Context>,
) -> impl Filter<Extract = (Outcome<BodyStream>,), Error = Rejection> + Clone + use<> {
    let ctx = ctx.clone();
    head().and(warp::body::stream()).then(move |head, stream| {
        let ctx = ctx.clone();
        async move {
            let request = authenticate(ctx, head).await?;
            let bytes_max = request.ctx.settings.upload_bytes_max;
            Ok(request.with(capped(stream, bytes_max)))
        }
    })
}

pub(super) async fn collect<C: Buf>(
    request: &Request,
    stream: impl Stream<Item = Result<C, warp::Error>>,
) -> Result<Bytes, Error> {
    body::collect(stream, request.ctx.settings.body_bytes_max).await
}

fn capped<C: Buf>(
    stream: impl Stream<Item = Result<C, warp::Error>> + Send + 'static,
    bytes_max: u64,
) -> BodyStream {
    let mut size_bytes = 0;
    let chunks = stream.map(move |chunk| {
        let mut chunk = chunk.map_err(body::broken)?;
        size_bytes += chunk.remaining() as u64;
        if size_bytes > bytes_max {
            return Err(body::too_large(bytes_max));
        }
        Ok(chunk.copy_to_bytes(chunk.remaining()))
    });
    BodyStream(Box::pin(chunks))
}

pub(super) async fn authenticate(ctx: Arc<Context>, head: Arc<Head>) -> Outcome<()> {
    let caller = match &head.known {
        Some(Known(caller)) => caller.clone(),
        None => prove(&ctx, &head).await?,
    };
    Ok(Request {
        ctx,
        caller,
        head,
        body: (),
    })
}

/// Finds out who sent it, and whether it may be asked now, in the tenant asked for.
async fn prove(ctx: &Arc<Context>, head: &Head) -> Result<Caller, Error> {
    position::reach(ctx, head).await?;
    let carried = Carried::from_headers(&head.headers);
    let identity = commands::ldap::identify(ctx, carried, Uuid::now_v7()).await;
    let is_restoring = *ctx.restoring.borrow() == Restoring::Replacing;
    if is_restoring && head.method != Method::GET {
        return Err(Error::refused(
            ErrorCode::SnapshotRestore,
            "A snapshot is being restored. Only reading is possible until it is done",
        ));
    }
    if let Some(note) = identity.note.filter(|_| !is_restoring) {
        commands::users::note(ctx, note).await;
    }
    let mut caller = identity.caller?;
    refuse_nul(head)?;
    if let Some(tenant) = head.headers.get("tenant") {
        let tenant = String::from_utf8_lossy(tenant.as_bytes());
        if ctx.directory.load().tenant(&tenant).is_none() {
            return Err(Error::refused(
                ErrorCode::Forbidden,
                format!(
                    "Authorization failed: Tried to authenticate with invalid tenant name: {tenant}"
                ),
            ));
        }
        caller.enter(&tenant);
    } else if let Some(execution) = caller.execution.clone() {
        caller.enter(&execution.tenant);
    }
    maintenance::admit(ctx, head, &caller).await?;
    Ok(caller)
}

/// Nothing has a name with a NUL in it, and the database would choke on it.
fn refuse_nul(head: &Head) -> Result<(), Error> {
    let in_query = |(key, value): (&str, &str)| key.contains('\0') || value.contains('\0');
    if head.path.contains("%00") || head.query.iter().any(in_query) {
        return Err(Error::bad_parameters("The URL holds a NUL character"));
    }
    Ok(())
}
