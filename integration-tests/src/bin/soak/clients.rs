//! Clients that come and go, stall, and leave in the middle.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use sextant_integration_tests::{Daemon, daemon::connect_for_ever, hubble};
use sextant_proto::observer::{GetFlowsRequest, GetFlowsResponse, observer_client::ObserverClient};
use tonic::{Status, Streaming};

/// Sleeps in small steps; whether to go on.
fn pause(stop: &AtomicBool, seconds: u64) -> bool {
    for _ in 0..seconds * 10 {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        thread::sleep(Duration::from_millis(100));
    }
    true
}

/// The real CLI, started and killed.
pub(crate) fn cli(daemon: &Daemon, stop: &AtomicBool) {
    let server = daemon.server();
    loop {
        let _follows = hubble::start(
            &server,
            "observe --follow -o jsonpb",
            Path::new("/dev/null"),
        );
        let _drops = hubble::start(
            &server,
            "observe --follow --verdict DROPPED",
            Path::new("/dev/null"),
        );
        if !pause(stop, 4) {
            return;
        }
    }
}

async fn open(server: &str, follow: bool) -> Streaming<GetFlowsResponse> {
    let request = GetFlowsRequest {
        follow,
        number: if follow { 0 } else { 1_000_000 },
        ..GetFlowsRequest::default()
    };
    let channel = connect_for_ever(server).await.expect("the daemon listens");
    let response = ObserverClient::new(channel).get_flows(request).await;
    response.expect("there are streams left").into_inner()
}

async fn read(stream: &mut Streaming<GetFlowsResponse>, most: u32) -> Result<u32, Status> {
    for count in 0..most {
        if stream.message().await?.is_none() {
            return Ok(count);
        }
    }
    Ok(most)
}

/// Clients that follow for a while, then leave in the middle.
pub(crate) fn followers(daemon: &Daemon, stop: &AtomicBool) {
    let server = daemon.server();
    while pause(stop, 1) {
        daemon.block_on(async {
            let mut stream = open(&server, true).await;
            let long = Duration::from_secs(5);
            if let Ok(ended) = tokio::time::timeout(long, read(&mut stream, u32::MAX)).await {
                panic!("a stream that follows ended: {ended:?}");
            }
        });
    }
}

/// Clients that never read.
pub(crate) fn stalled(daemon: &Daemon, stop: &AtomicBool) {
    let server = daemon.server();
    loop {
        let streams: Vec<_> = (0..4)
            .map(|_| daemon.block_on(open(&server, true)))
            .collect();
        let goes_on = pause(stop, 20);
        daemon.block_on(async { drop(streams) });
        if !goes_on {
            return;
        }
    }
}

/// Clients that take all that there is, or a part of it.
pub(crate) fn drainers(daemon: &Daemon, stop: &AtomicBool) {
    let server = daemon.server();
    for round in 0_u32.. {
        if !pause(stop, 2) {
            return;
        }
        daemon.block_on(async {
            let mut stream = open(&server, false).await;
            let most = if round % 2 == 0 { u32::MAX } else { 10 };
            read(&mut stream, most)
                .await
                .expect("what is stored is served");
        });
    }
}
