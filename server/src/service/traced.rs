//! The layer that makes a span of each call, as OpenTelemetry's conventions for RPCs have
//! it: a child of the caller's.
//!
//! It ends with the last of the answer, or when the client is gone (`crate::spans` tells
//! that). Attributes are words of ours and numbers: nothing of who calls, but the kind of
//! the connection, and of what is asked the method alone, if there is such a one.

use std::{collections::HashSet, sync::Arc, time::Duration};

use axum::body::Body;
use http::{HeaderMap, Request, Response};
use opentelemetry_semantic_conventions::attribute::{
    ERROR_TYPE, NETWORK_TRANSPORT, RPC_METHOD, RPC_RESPONSE_STATUS_CODE, RPC_SYSTEM_NAME,
};
use tonic::Code;
use tower_http::{
    classify::{GrpcErrorsAsFailures, GrpcFailureClass, SharedClassifier},
    trace::{MakeSpan, OnEos, OnFailure, OnResponse, TraceLayer},
};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::methods;
use crate::{
    audit::code_name,
    listener::{Caller, Origin, Security},
    spans,
};

/// In place of the name of a method that there is not.
const OTHER: &str = "_OTHER";
/// What is called; and the name of a span of a method that there is not.
const GRPC: &str = "grpc";
/// How the connection came and what it proves, which has no conventional name.
const PEER_KIND: &str = "sextant.peer.kind";

/// The layer. Without anybody who takes spans it makes none.
pub(super) fn traced() -> TraceLayer<
    SharedClassifier<GrpcErrorsAsFailures>,
    impl MakeSpan<Body> + Clone,
    (),
    impl OnResponse<Body> + Clone,
    (),
    impl OnEos + Clone,
    impl OnFailure<GrpcFailureClass> + Clone,
> {
    let methods: Arc<HashSet<String>> = Arc::new(names().collect());
    TraceLayer::new_for_grpc()
        .make_span_with(move |request: &Request<Body>| span(request, &methods))
        .on_request(())
        .on_response(|answer: &Response<Body>, _: Duration, span: &Span| {
            ended(answer.headers(), span);
        })
        .on_body_chunk(())
        .on_eos(|trailers: Option<&HeaderMap>, _: Duration, span: &Span| {
            if let Some(trailers) = trailers {
                ended(trailers, span);
            }
        })
        .on_failure(|failure: GrpcFailureClass, _: Duration, span: &Span| {
            // A code is in headers or trailers, too.
            if let GrpcFailureClass::Error(_) = failure {
                tell(Code::Unknown, span);
            }
        })
}

/// `package.Service/Method` of all that there are.
fn names() -> impl Iterator<Item = String> {
    methods::all().into_iter().map(|(name, _)| name)
}

fn span(request: &Request<Body>, methods: &HashSet<String>) -> Span {
    let span = tracing::info_span!(
        target: spans::TARGET,
        parent: None,
        "call",
        otel.kind = "server",
        otel.name = Empty,
        otel.status_code = Empty,
        { RPC_SYSTEM_NAME } = GRPC,
        { RPC_METHOD } = Empty,
        { RPC_RESPONSE_STATUS_CODE } = Empty,
        { ERROR_TYPE } = Empty,
        { NETWORK_TRANSPORT } = Empty,
        { PEER_KIND } = Empty,
    );
    if span.is_disabled() {
        return span;
    }
    let called = request.uri().path().trim_start_matches('/');
    let known = methods.get(called).map(String::as_str);
    span.record(RPC_METHOD, known.unwrap_or(OTHER));
    span.record("otel.name", known.unwrap_or(GRPC));
    let (transport, kind) = peer(&Caller::of(request.extensions()));
    span.record(NETWORK_TRANSPORT, transport);
    span.record(PEER_KIND, kind);
    // It was made just now.
    let _ = span.set_parent(spans::parent(request.headers()));
    span
}

/// How a connection came, and what it proves.
fn peer(caller: &Caller) -> (&'static str, &'static str) {
    let transport = match caller.origin() {
        Origin::Tcp(_) => "tcp",
        Origin::Unix(_) | Origin::Unknown => "unix",
    };
    let kind = match (caller.security(), caller.origin()) {
        (Security::Tls(Some(_)), _) => "certificate",
        (Security::Tls(None), _) => "tls",
        (Security::Plaintext, Origin::Unix(_)) => "unix",
        (Security::Plaintext, Origin::Tcp(_)) => "plaintext",
        (Security::Plaintext, Origin::Unknown) => "unknown",
    };
    (transport, kind)
}

/// The end of a call, if these headers tell it.
fn ended(headers: &HeaderMap, span: &Span) {
    if span.is_disabled() {
        return;
    }
    if let Some(status) = headers.get("grpc-status") {
        let code = status.to_str().ok().and_then(|code| code.parse().ok());
        tell(code.map_or(Code::Unknown, Code::from_i32), span);
    }
}

/// Which codes are errors of a server is OpenTelemetry's table.
fn tell(code: Code, span: &Span) {
    let name = code_name(code);
    span.record(RPC_RESPONSE_STATUS_CODE, name);
    let is_error = matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    );
    if is_error {
        span.record("otel.status_code", "ERROR");
        span.record(ERROR_TYPE, name);
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use futures::FutureExt as _;
    use opentelemetry_proto::tonic::{common::v1::any_value::Value, trace::v1::Span as Encoded};
    use prost::Message as _;
    use tower::ServiceExt as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::spans::Spans;

    #[test]
    fn all_methods_are_known_by_name() {
        let methods: HashSet<String> = names().collect();
        for name in [
            "observer.Observer/GetFlows",
            "sextant.policy.v1.PolicyService/Apply",
            "grpc.health.v1.Health/Check",
            "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ] {
            assert!(methods.contains(name), "{name}");
        }
        assert!(!methods.contains("observer.Observer/"));
    }

    /// The span of a call that is answered so.
    fn called(path: &str, answer: impl IntoResponse + Clone + Send + Sync + 'static) -> Encoded {
        let spans = Spans::default();
        let own = spans.take();
        let subscriber = tracing_subscriber::registry().with(spans.layer());
        tracing::subscriber::with_default(subscriber, || {
            let answer = move || std::future::ready(answer.clone().into_response());
            let router = axum::Router::new().fallback(answer).layer(traced());
            let request = Request::post(path).header("x-secret", "evil");
            let request = request.body(Body::empty()).unwrap();
            drop(router.oneshot(request).now_or_never());
        });
        Encoded::decode(own.next().unwrap()).unwrap()
    }

    /// The text of an attribute.
    fn said(span: &Encoded, key: &str) -> Option<String> {
        let found = span.attributes.iter().find(|one| one.key == key)?;
        match found.value.clone()?.value {
            Some(Value::StringValue(text)) => Some(text),
            other => panic!("{key} is no text: {other:?}"),
        }
    }

    #[test]
    fn nothing_that_a_client_makes_up_is_in_a_span() {
        let evil = called("/evil.Evil/Evil%0a", [("grpc-status", "12")]);
        assert_eq!(evil.name, "grpc");
        assert!(!format!("{evil:?}").contains("evil") && !format!("{evil:?}").contains("Evil"));
        assert_eq!(said(&evil, "rpc.method").as_deref(), Some("_OTHER"));
        let code = Some("UNIMPLEMENTED");
        assert_eq!(said(&evil, "rpc.response.status_code").as_deref(), code);
        assert_eq!(said(&evil, "error.type").as_deref(), code);
        assert_eq!(evil.status.unwrap().code, 2);
    }

    #[test]
    fn a_refusal_is_no_error_of_the_server_and_an_end_without_a_status_is_the_clients() {
        let path = "/observer.Observer/GetFlows";
        for (status, expect) in [
            ("0", "OK"),
            ("7", "PERMISSION_DENIED"),
            ("x", "UNKNOWN"),
            ("77", "UNKNOWN"),
        ] {
            let span = called(path, [("grpc-status", status)]);
            assert_eq!(span.name, path[1..]);
            let code = said(&span, "rpc.response.status_code");
            assert_eq!(code.as_deref(), Some(expect));
            let error = (expect == "UNKNOWN").then_some(expect);
            assert_eq!(said(&span, "error.type").as_deref(), error, "{status}");
            assert_eq!(span.status.unwrap().code == 2, error.is_some(), "{status}");
        }
        let gone = called(path, ());
        let code = said(&gone, "rpc.response.status_code");
        assert_eq!(code.as_deref(), Some("CANCELLED"));
    }
}
