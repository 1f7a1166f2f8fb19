//! HTTP/1 and HTTP/2 on the listeners' connections.
//!
//! A client that answers no ping, or does not end its headers, is gone after a
//! while. Bound: `Places` connections, with so many streams each.

use std::{io, time::Duration};

use futures::Stream;
use tokio::sync::watch;
use tonic::transport::Server;

use super::Connection;

/// A client that answers no ping for so long is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves until `draining`, then lets open streams end. Sockets' files go at once.
///
/// # Errors
///
/// When the transport fails.
pub async fn serve_http(
    connections: impl Stream<Item = io::Result<Connection>>,
    router: axum::Router,
    max_streams_per_connection: u32,
    mut draining: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(max_streams_per_connection)
        .serve_with_incoming_shutdown(router, connections, async move {
            let _ = draining.wait_for(|draining| *draining).await;
        })
        .await
}
