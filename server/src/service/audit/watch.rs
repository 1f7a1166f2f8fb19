//! The layer that sees how calls end, and records those that write and those
//! that are refused.
//!
//! Inside the layer for gRPC-web, so that the status is where gRPC has it: in
//! the headers, or after the body. A call that its client gave up counts as
//! cancelled. Reading calls that go well cost a look at their method.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, header};
use http_body::{Frame, SizeHint};
use tonic::{Code, Status};

use crate::{
    audit::{Log, OF_USER, Record},
    flow::Time,
    listener::{Caller, Origin, Security},
    service::{access::Rules, roles},
};

/// What a call did, in few words: put into the extensions of its response.
#[derive(Clone, Debug)]
pub(in crate::service) struct What(pub(in crate::service) String);

/// Passes a request on and records how it ended, where that is of interest.
pub(in crate::service) async fn watch(
    State((log, rules)): State<(Log, Rules)>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut call = Call::of(&request, log, &rules);
    if call.writes {
        let name = CallerName(who(&call.caller, call.token.as_deref()));
        request.extensions_mut().insert(name);
    }
    let response = next.run(request).await;
    if let Some(What(what)) = response.extensions().get() {
        call.what.clone_from(what);
    }
    if let Some(status) = Status::from_header_map(response.headers()) {
        call.ended(status.code(), status.message());
        return response;
    }
    if !call.writes {
        // Refusals come before there is a body.
        call.is_over = true;
        return response;
    }
    response.map(|inner| Body::new(Watched { inner, call }))
}

/// Records that a call was refused while it was answered. One that writes is
/// watched to its end anyway.
pub(in crate::service) fn cut_off(
    log: &Log,
    caller: &Caller,
    token: Option<&str>,
    path: &str,
    status: &Status,
) {
    if roles::writes(path) {
        return;
    }
    log.record(Record {
        time: Time::now(),
        who: who(caller, token),
        from: from(caller),
        method: path.trim_start_matches('/').to_owned(),
        what: "cut off".into(),
        code: status.code(),
        message: status.message().to_owned(),
    });
}

/// A call under way.
struct Call {
    log: Log,
    caller: Caller,
    /// Name of the token that it shows.
    token: Option<String>,
    method: String,
    what: String,
    writes: bool,
    is_over: bool,
}

impl Call {
    fn of(request: &Request, log: Log, rules: &Rules) -> Self {
        let (path, headers) = (request.uri().path(), request.headers());
        let shows = headers.contains_key(header::AUTHORIZATION);
        let rules = shows.then(|| rules.current());
        let token = rules.as_ref().and_then(|rules| rules.token(headers));
        Self {
            log,
            caller: Caller::of(request.extensions()),
            token: token.map(str::to_owned),
            method: path.trim_start_matches('/').to_owned(),
            what: String::new(),
            writes: roles::writes(path),
            is_over: false,
        }
    }

    fn ended(&mut self, code: Code, message: &str) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let is_refused = matches!(code, Code::PermissionDenied | Code::Unauthenticated);
        if !self.writes && !is_refused {
            return;
        }
        self.log.record(Record {
            time: Time::now(),
            who: who(&self.caller, self.token.as_deref()),
            from: from(&self.caller),
            method: std::mem::take(&mut self.method),
            what: std::mem::take(&mut self.what),
            code,
            message: message.to_owned(),
        });
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        match Status::from_header_map(trailers) {
            Some(status) => self.ended(status.code(), status.message()),
            None => self.ended(Code::Unknown, "the answer has no status"),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.ended(Code::Cancelled, "the client went before the end");
    }
}

/// Who makes a call, as the log has it: put into the extensions of its request.
#[derive(Clone, Debug)]
struct CallerName(String);

/// Who makes a call, as the log has it.
pub(in crate::service) fn caller_name(extensions: &http::Extensions) -> String {
    let name = extensions.get::<CallerName>();
    name.map_or_else(|| who(&Caller::of(extensions), None), |name| name.0.clone())
}

/// A token says more than the connection, which may be shared.
pub(super) fn who(caller: &Caller, token: Option<&str>) -> String {
    match (token, caller.security(), caller.origin()) {
        (Some(token), _, _) => format!("token:{token}"),
        (None, Security::Tls(Some(certificate)), _) => certificate.name(),
        (None, _, Origin::Unix(process)) => format!("uid:{}", process.uid),
        _ => "anonymous".into(),
    }
}

pub(super) fn from(caller: &Caller) -> String {
    match caller.origin() {
        Origin::Unix(process) => match process.pid {
            Some(pid) => format!("unix, pid {pid}"),
            None => "unix".into(),
        },
        Origin::Tcp(address) => match caller.local_user() {
            Some(uid) => format!("{address}{OF_USER}{uid}"),
            None => address.to_string(),
        },
        Origin::Unknown => "unknown".into(),
    }
}

/// A body whose end is recorded.
struct Watched {
    inner: Body,
    call: Call,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.call.trailers(trailers);
                }
            }
            Poll::Ready(Some(Err(error))) => {
                let message = error.to_string();
                self.call.ended(Code::Unknown, &message);
            }
            Poll::Ready(None) => self.call.ended(Code::Unknown, "the answer has no status"),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
