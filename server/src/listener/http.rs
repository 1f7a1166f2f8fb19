//! HTTP/1 and HTTP/2 on the listeners' connections.
//!
//! A client that answers no ping, or does not end its headers, is gone after a
//! while. Bound: `Places` connections, with so many streams each.

use std::{io, pin::pin, time::Duration};

use futures::{Stream, StreamExt as _};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::sync::watch;
use tonic::transport::server::Connected as _;
use tower::ServiceExt as _;

use super::Connection;

/// A client that answers no ping for so long is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Headers of a request, decoded; more than clients send, and a bound of what a
/// connection can pile up in CONTINUATION frames.
const HEADER_BYTES: u32 = 16 << 10;
/// Calls of a connection that were reset before they were looked at, and that the
/// server itself has reset: more end the connection.
const RESET_CALLS: usize = 20;
const REFUSED_CALLS: usize = 1024;

/// What of an answer may wait for its client beside the part that is being made: HTTP/2 lets
/// a client allow gigabytes to be on their way, and then read none of it.
const SEND_BUFFER: usize = 64 << 10;

/// Serves until `draining`, then lets open streams end. Sockets' files go at once.
pub async fn serve_http(
    connections: impl Stream<Item = io::Result<Connection>>,
    router: axum::Router,
    max_streams_per_connection: u32,
    mut draining: watch::Receiver<bool>,
) {
    let builder = builder(max_streams_per_connection);
    let open = GracefulShutdown::new();
    accept(connections, &mut draining, |connection| {
        let caller = connection.connect_info();
        let service = router
            .clone()
            .map_request(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(caller.clone());
                request
            });
        let io = TokioIo::new(connection);
        let served = builder.serve_connection(io, TowerToHyperService::new(service));
        let served = open.watch(served.into_owned());
        tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::debug!(error, "a connection failed");
            }
        });
    })
    .await;
    open.shutdown().await;
}

/// Shows each connection that comes; whoever listens is let go at the end.
async fn accept(
    connections: impl Stream<Item = io::Result<Connection>>,
    draining: &mut watch::Receiver<bool>,
    mut serve: impl FnMut(Connection),
) {
    let mut connections = pin!(connections);
    loop {
        tokio::select! {
            // A sender that is gone is as good as a signal.
            _ = draining.wait_for(|draining| *draining) => return,
            next = connections.next() => match next {
                Some(Ok(connection)) => serve(connection),
                Some(Err(error)) => tracing::debug!(%error, "not accepted"),
                None => return,
            },
        }
    }
}

fn builder(max_streams_per_connection: u32) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // Time-outs need timers.
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_header_list_size(HEADER_BYTES)
        .max_pending_accept_reset_streams(RESET_CALLS)
        .max_local_error_reset_streams(REFUSED_CALLS)
        .max_concurrent_streams(max_streams_per_connection)
        .max_send_buf_size(SEND_BUFFER);
    builder
}
