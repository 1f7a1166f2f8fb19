//! What the fuzz targets share: what an input may cost, a replay from memory, the
//! check of a compiled filter, the daemon behind a socket.
//!
//! Each target hands any bytes to one decoder of the daemon, or to the daemon
//! itself; what must hold is that it returns, soon and with little memory, and what
//! the target asserts beyond that. `make fuzz` runs them; they are no part of
//! `make test`. Bound: the length of an input, by `-max_len`.

mod cost;
mod daemon;
mod filters;

use std::path::Path;

use sextantd::{
    flow::{Endpoint, Interners, Origin, wire},
    replay::{Context, Format, Report, read},
    store::Event,
};

pub use cost::{Cost, bounded, bounded_parts};
pub use daemon::Daemon;
pub use filters::check_filters;

/// Replays an input; `None` if it is no capture though it should be.
pub fn replay(format: Format, input: &[u8]) -> (Option<Report>, Vec<Event>) {
    let mut interners = Interners::default();
    let world = interners.endpoints.intern(Endpoint::default());
    let mut context = Context {
        interners: &mut interners,
        node: &Origin::default().into(),
        resolve: &mut |_| world.clone(),
        vlan_in_key: true,
    };
    let mut events = Vec::new();
    let name = Path::new("input");
    let report = read(format, name, input, &mut context, &mut |event| {
        events.push(event);
    });
    (report.ok(), events)
}

/// Flows can be sent: they are encoded as the generated type encodes them.
///
/// # Panics
/// When they are not.
pub fn check_events(events: Vec<Event>) {
    use prost::Message as _;
    for event in events {
        if let Event::Flow(flow) = event {
            let mut encoded = Vec::new();
            wire::encode(&flow, &mut encoded);
            let generated = sextantd::flow::proto::to_proto(&flow).encode_to_vec();
            assert_eq!(encoded, generated);
        }
    }
}
