//! The layer before all services: each call is judged before anything of it is
//! read, and again when the rules change.
//!
//! Whoever may no longer do what they are doing is cut off then: the call ends
//! with the status of the refusal, which is in the audit log. Who may see other
//! flows than before has to call again.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, header};
use http_body::{Frame, SizeHint};
use tokio::sync::watch;
use tonic::Status;

use super::{Access, Rules};
use crate::{audit::Log, listener::Caller, selection::View, service::audit::cut_off};

/// Clients that follow connect again.
const CHANGED: &str = "what this caller may see has changed: call again";

/// Passes on what may be called, and answers with a status what may not.
pub(in crate::service) async fn guard(
    State((rules, log)): State<(Rules, Log)>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut right = Right::of(&request, &rules, log);
    let view = match right.check() {
        Ok(view) => view,
        Err(status) => return status.into_http(),
    };
    request.extensions_mut().insert(view.clone());
    let rules = right.rules.clone();
    let mut lost = right.lost(view).boxed();
    tokio::select! {
        // What is answered at once waits for nothing.
        biased;
        response = next.run(request) => response.map(|inner| Body::new(Guarded {
            inner,
            rules,
            lost: Some(lost),
        })),
        status = &mut lost => status.into_http(),
    }
}

/// What a call needs to be judged.
struct Right {
    rules: watch::Receiver<Arc<Access>>,
    path: String,
    caller: Caller,
    /// Of its headers, what tells who calls.
    headers: HeaderMap,
    /// Name of the token in them, as it was when the call began.
    token: Option<String>,
    log: Log,
}

impl Right {
    fn of(request: &Request, rules: &Rules, log: Log) -> Self {
        let shown = request.headers().get(header::AUTHORIZATION);
        let rules = rules.subscribe();
        let token = shown.and_then(|_| {
            let rules = rules.borrow();
            rules.token(request.headers()).map(str::to_owned)
        });
        Self {
            rules,
            token,
            log,
            path: request.uri().path().to_owned(),
            caller: Caller::of(request.extensions()),
            headers: shown
                .map(|value| (header::AUTHORIZATION, value.clone()))
                .into_iter()
                .collect(),
        }
    }

    /// By the rules as they are now.
    fn check(&mut self) -> Result<View, Status> {
        let rules = Arc::clone(&self.rules.borrow_and_update());
        rules.check(&self.path, &self.caller, &self.headers)
    }

    /// Waits until it is no more, or shows something else.
    async fn lost(mut self, view: View) -> Status {
        loop {
            if self.rules.changed().await.is_err() {
                // Nobody is left who could change them.
                std::future::pending::<()>().await;
            }
            match self.check() {
                Ok(now) if now == view => {}
                Ok(_) => return Status::unavailable(CHANGED),
                Err(status) => {
                    cut_off(
                        &self.log,
                        &self.caller,
                        self.token.as_deref(),
                        &self.path,
                        &status,
                    );
                    return status;
                }
            }
        }
    }
}

/// An answer, as long as its caller may have it.
struct Guarded {
    inner: Body,
    rules: watch::Receiver<Arc<Access>>,
    /// None after the end.
    lost: Option<BoxFuture<'static, Status>>,
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(lost) = &mut this.lost else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(&mut this.inner).poll_frame(context);
        // Looking whether there is news is cheaper than asking to be woken.
        if frame.is_ready() && !this.rules.has_changed().unwrap_or_default() {
            return frame;
        }
        this.rules.mark_unchanged();
        let Poll::Ready(status) = lost.poll_unpin(context) else {
            return frame;
        };
        // What the call holds is given back now, not when its client is gone.
        this.inner = Body::empty();
        this.lost = None;
        let mut trailers = HeaderMap::new();
        match status.add_header(&mut trailers) {
            Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Err(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.lost.is_none() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
