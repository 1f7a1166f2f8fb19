//! The gRPC server on the listeners' connections.

use std::time::Duration;

use tokio::sync::watch;
use tonic::{service::Routes, transport::Server};

use crate::listener::{Listeners, Places};

/// A client that answers no ping for so long is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The transport failed.
    #[error("gRPC server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// Descriptors for reflection do not fit together.
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves until `draining`, then lets open streams end. Sockets' files go at once.
///
/// # Errors
///
/// When the transport fails.
pub async fn serve(
    listeners: Listeners,
    places: Places,
    routes: Routes,
    max_streams_per_connection: u32,
    mut draining: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(max_streams_per_connection)
        .layer(tonic_web::GrpcWebLayer::new())
        .add_routes(routes)
        .serve_with_incoming_shutdown(listeners.connections(&places), async move {
            let _ = draining.wait_for(|draining| *draining).await;
        })
        .await?;
    Ok(())
}

/// The services with reflection in both versions.
///
/// # Errors
///
/// When the descriptors do not fit together.
pub fn with_reflection(routes: Routes) -> Result<Routes, ServeError> {
    let builder = || {
        // All of them in both, since clients ask for each service that is listed.
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(sextant_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Details of errors, which no service names.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(
                tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            )
    };
    Ok(routes
        .add_service(builder().build_v1()?)
        .add_service(builder().build_v1alpha()?))
}
