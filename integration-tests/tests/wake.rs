//! An event is told soon, whenever it comes: also when the reader of the rings is about to rest,
//! and after a long silence.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::time::{Duration, SystemTime};

use sextant_integration_tests::{Daemon, Netns, daemon::connect_for_ever, root};
use sextant_proto::{
    flow::{Flow, layer4::Protocol},
    observer::{
        GetFlowsRequest, get_flows_response::ResponseTypes, observer_client::ObserverClient,
    },
};

/// An event for which nobody was woken would wait for the reader's next look, a second; a busy
/// machine takes less.
const SOON: Duration = Duration::from_millis(700);
/// The first of the ports that are sent to; the others follow it.
const PORT: u32 = 20_000;

/// Datagrams of new flows, with pauses of up to so many milliseconds.
fn send(count: u32, before: &str, pause: u32) -> String {
    format!(
        "sleep {before}; for n in $(seq 0 {}); do echo x >/dev/udp/127.0.0.1/$(({PORT} + n)); \
         sleep $(printf 0.%03d $((RANDOM % {pause}))); done",
        count - 1
    )
}

fn port(flow: &Flow) -> Option<u32> {
    match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Udp(udp) => Some(udp.destination_port).filter(|port| *port >= PORT),
        _ => None,
    }
}

/// How long after it was seen each flow is told, while the script sends.
fn delays(script: &str, count: u32) -> Vec<Duration> {
    let namespace = Netns::new();
    namespace.run("ip link set lo up");
    let daemon = Daemon::start(&namespace, "", &["--interface", "lo"]);
    daemon.block_on(async {
        let channel = connect_for_ever(&daemon.server()).await.unwrap();
        let follow = GetFlowsRequest {
            follow: true,
            ..GetFlowsRequest::default()
        };
        let flows = ObserverClient::new(channel).get_flows(follow).await;
        let mut flows = flows.unwrap().into_inner();
        let _sender = namespace.spawn(&format!("bash -c '{script}'"));
        let mut delays = Vec::new();
        let mut next = PORT;
        while next < PORT + count {
            let response = flows.message().await.unwrap().unwrap();
            let Some(ResponseTypes::Flow(flow)) = response.response_types else {
                continue;
            };
            if port(&flow) == Some(next) {
                let seen = SystemTime::try_from(flow.time.unwrap()).unwrap();
                delays.push(seen.elapsed().unwrap_or_default());
                next += 1;
            }
        }
        delays
    })
}

#[test]
fn no_event_waits_for_the_next_look() {
    if !root() {
        return;
    }
    // Pauses as long as those of the reader, so that events come at each of its steps.
    let delays = delays(&send(200, "0", 90), 200);
    let longest = delays.iter().max().unwrap();
    assert!(*longest < SOON, "{longest:?}: {delays:?}");
}

#[test]
fn the_first_event_after_a_silence_is_told_at_once() {
    if !root() {
        return;
    }
    let delays = delays(&send(1, "10", 10), 1);
    assert!(delays[0] < SOON, "{delays:?}");
    println!("after 10 s of silence: {:?}", delays[0]);
}
