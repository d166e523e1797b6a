//! Limits on what the other end may leave us waiting for.
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};

/// What is read at most of a body that nobody wants, in bytes.
const REST_BYTES_MAX: u64 = 64 * 1024;
/// How long it is waited for.
const REST_PATIENCE: Duration = Duration::from_secs(1);

/// Runs only while something is awaited.
#[derive(Debug)]
struct Patience {
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            timer: None,
        }
    }

    /// Ready when the wait has lasted too long.
    fn poll_exhausted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep(self.timeout)));
        timer.as_mut().poll(cx)
    }

    fn rest(&mut self) {
        self.timer = None;
    }
}

/// A request body that fails when it pauses too long.
#[derive(Debug)]
pub(super) struct ReadLimit {
    body: Arc<Mutex<Incoming>>,
    patience: Patience,
}

impl ReadLimit {
    /// The body for a handler, and what the handler will have left of it.
    pub(super) fn new(body: Incoming, timeout: Duration) -> (Self, Rest) {
        let body = Arc::new(Mutex::new(body));
        let rest = Rest(Arc::clone(&body));
        let patience = Patience::new(timeout);
        (Self { body, patience }, rest)
    }

    /// The lock is held while the body is polled, which leaves nothing half done.
    fn body(&self) -> MutexGuard<'_, Incoming> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for ReadLimit {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut *self.body()).poll_frame(cx);
        match polled {
            Poll::Ready(frame) => {
                self.patience.rest();
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                ready!(self.patience.poll_exhausted(cx));
                Poll::Ready(Some(Err("the request body paused too long".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}

/// What a handler left of a request's body.
#[derive(Debug)]
pub(super) struct Rest(Arc<Mutex<Incoming>>);

impl Rest {
    /// Whether nothing is left.
    pub(super) fn is_read(&self) -> bool {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        body.is_end_stream()
    }

    /// Reads it, if it is little and comes soon. Tells whether the body is at its end or still
    /// being read; a connection on which more of it may come cannot carry another request.
    pub(super) async fn ends_soon(self) -> bool {
        let Some(body) = Arc::into_inner(self.0) else {
            return true;
        };
        let mut body = body.into_inner().unwrap_or_else(PoisonError::into_inner);
        if body.is_end_stream() {
            return true;
        }
        if body.size_hint().lower() > REST_BYTES_MAX {
            return false;
        }
        let read = async {
            let mut bytes = 0;
            while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                let Ok(frame) = frame else { return false };
                bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if bytes > REST_BYTES_MAX {
                    return false;
                }
            }
            true
        };
        timeout(REST_PATIENCE, read).await.unwrap_or(false)
    }
}

/// A socket that fails when the client leaves our data unread too long.
#[derive(Debug)]
pub(super) struct WriteLimit<S> {
    stream: S,
    patience: Patience,
}

impl<S> WriteLimit<S> {
    pub(super) fn new(stream: S, timeout: Duration) -> Self {
        Self {
            stream,
            patience: Patience::new(timeout),
        }
    }

    fn limit<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.patience.rest();
            return outcome;
        }
        ready!(self.patience.poll_exhausted(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteLimit<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteLimit<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.limit(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.limit(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.limit(outcome, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.limit(outcome, cx)
    }
}
