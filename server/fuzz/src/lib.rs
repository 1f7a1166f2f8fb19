//! What the fuzz targets share: a replay from memory, flows to filter, and the
//! check of a compiled filter.
//!
//! Each target hands any bytes to one decoder of the daemon; what must hold is
//! that it returns, and what the target asserts beyond that. `make fuzz` runs
//! them; they are no part of `make test`. Bound: the length of an input, by
//! `-max_len`.

mod cost;

use std::{path::Path, sync::LazyLock};

use sextant_proto::flow as pb;
use sextantd::{
    filter::Filters,
    flow::{Endpoint, Flow, Interners, Origin, proto::from_proto, wire},
    replay::{Context, Format, Report, read},
    store::Event,
};

pub use cost::bounded;

/// Flows that filters are tried on: Hubble JSON lines, seeds of `replay_json` too.
const FLOWS: &[u8] = include_bytes!("../seeds/replay_json/flows");

static SAMPLES: LazyLock<Vec<Flow>> = LazyLock::new(|| {
    let mut flows = vec![Flow::default()];
    let (report, events) = replay(Format::JsonLines, FLOWS);
    assert!(report.is_some_and(|report| report.rejected == 0));
    flows.extend(events.into_iter().filter_map(|event| match event {
        Event::Flow(flow) => Some(flow),
        _ => None,
    }));
    flows
});

/// Replays an input; `None` if it is no capture though it should be.
pub fn replay(format: Format, input: &[u8]) -> (Option<Report>, Vec<Event>) {
    let mut interners = Interners::default();
    let world = interners.endpoints.intern(Endpoint::default());
    let mut context = Context {
        interners: &mut interners,
        node: &Origin::default().into(),
        resolve: &mut |_| world.clone(),
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

/// A request's filters are refused, or agree with themselves: what was
/// remembered of a flow is what is found anew, and a filter's complement is what
/// the blacklist says.
///
/// # Panics
/// When they do not.
pub fn check_filters(whitelist: &[pb::FlowFilter], blacklist: &[pb::FlowFilter]) {
    let Ok(mut filters) = Filters::compile(whitelist, blacklist) else {
        return;
    };
    for flow in SAMPLES.iter() {
        let first = filters.matches(flow);
        assert_eq!(filters.matches(flow), first, "what is remembered");
        let same = from_proto(
            sextantd::flow::proto::to_proto(flow),
            &mut Interners::default(),
        );
        assert_eq!(filters.matches(&same), first, "an equal flow");
    }
    let Ok(mut denied) = Filters::compile(&[], whitelist) else {
        panic!("the whitelist compiled, so it does as a blacklist");
    };
    let Ok(mut listed) = Filters::compile(whitelist, &[]) else {
        panic!("the whitelist compiled with a blacklist");
    };
    if !whitelist.is_empty() {
        for flow in SAMPLES.iter() {
            match (denied.matches(flow), listed.matches(flow)) {
                (Ok(denied), Ok(listed)) => assert_ne!(denied, listed, "the complement"),
                (denied, listed) => assert!(denied.is_err() && listed.is_err()),
            }
        }
    }
}
