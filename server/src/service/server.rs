//! What the gRPC server answers with: the services and the layers before them.

use axum::{
    extract::Request,
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, header};
use tonic::service::Routes;

use super::{
    access::{Rules, guard},
    audit::{pages, watch},
    methods::DESCRIPTORS,
    traced::traced,
};
use crate::{audit::Log, listener::Hosts};

/// Descriptors for reflection do not fit together.
#[derive(Debug, thiserror::Error)]
#[error("gRPC reflection: {0}")]
pub struct ReflectionError(#[from] tonic_reflection::server::Error);

/// All that the port answers. What is no gRPC, in whatever form, is not found,
/// so that something else may be served there some day; gRPC of an unknown
/// service or method gets status 12. Calls that write and those that are refused
/// are in the log, and each call is a span, if anybody takes those.
pub fn router(routes: Routes, rules: Rules, hosts: Hosts, log: Log) -> axum::Router {
    routes
        .prepare()
        .into_axum_router()
        .layer(from_fn_with_state((rules.clone(), log.clone()), guard))
        .layer(from_fn_with_state((log.clone(), rules), watch))
        .layer(traced())
        .layer(tonic_web::GrpcWebLayer::new())
        .layer(from_fn(grpc_alone))
        .layer(from_fn_with_state(hosts, Hosts::check))
        .layer(from_fn_with_state(log, pages))
}

async fn grpc_alone(request: Request, next: Next) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.map(http::HeaderValue::as_bytes).unwrap_or_default();
    if kind.to_ascii_lowercase().starts_with(b"application/grpc") {
        return next.run(request).await;
    }
    (
        StatusCode::NOT_FOUND,
        "only gRPC and gRPC-web are served here\n",
    )
        .into_response()
}

/// The services with reflection in both versions.
///
/// # Errors
///
/// When the descriptors do not fit together.
pub fn with_reflection(routes: Routes) -> Result<Routes, ReflectionError> {
    let builder = || {
        DESCRIPTORS
            .into_iter()
            .fold(
                tonic_reflection::server::Builder::configure(),
                tonic_reflection::server::Builder::register_encoded_file_descriptor_set,
            )
            // Details of errors, which no service names.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(routes
        .add_service(builder().build_v1()?)
        .add_service(builder().build_v1alpha()?))
}
