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

/// Headers of a request, decoded; more than clients send, and a bound of what a
/// connection can pile up in CONTINUATION frames.
pub(super) const HEADER_BYTES: u32 = 16 << 10;
/// Calls of a connection that were reset before they were looked at, and that the
/// server itself has reset: more end the connection.
const RESET_CALLS: usize = 20;
const REFUSED_CALLS: usize = 1024;

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
        .http2_max_header_list_size(HEADER_BYTES)
        .http2_max_pending_accept_reset_streams(Some(RESET_CALLS))
        .http2_max_local_error_reset_streams(Some(REFUSED_CALLS))
        .max_concurrent_streams(max_streams_per_connection)
        .serve_with_incoming_shutdown(router, connections, async move {
            let _ = draining.wait_for(|draining| *draining).await;
        })
        .await
}
