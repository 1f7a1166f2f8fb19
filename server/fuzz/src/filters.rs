//! The check of a request's filters: they agree with themselves, and neither
//! compiling them nor judging a flow costs too much.

use std::sync::LazyLock;

use sextant_proto::flow as pb;
use sextantd::{
    filter::Filters,
    flow::{
        Flow, Interners,
        proto::{from_proto, to_proto},
    },
    replay::Format,
    store::Event,
};

use crate::{Cost, bounded, bounded_parts, replay};

/// Flows that filters are tried on: Hubble JSON lines, seeds of `replay_json` too.
pub(crate) const FLOWS: &[u8] = include_bytes!("../seeds/replay_json/flows");

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

/// A request's filters are refused, or agree with themselves: what was
/// remembered of a flow is what is found anew, and a filter's complement is what
/// the blacklist says.
///
/// # Panics
/// When they do not, or cost too much.
pub fn check_filters(whitelist: &[pb::FlowFilter], blacklist: &[pb::FlowFilter]) {
    let compile = || Filters::compile(whitelist, blacklist);
    let Ok(mut filters) = bounded("compiling", compile) else {
        return;
    };
    bounded_parts("judging a flow", || {
        let Ok(mut filters) = compile() else {
            panic!("what compiled does again");
        };
        let each = SAMPLES
            .iter()
            .map(|flow| Cost::of(|| filters.matches(flow)).1);
        each.reduce(Cost::max).unwrap_or_default()
    });
    for flow in SAMPLES.iter() {
        let first = filters.matches(flow);
        assert_eq!(filters.matches(flow), first, "what is remembered");
        let same = from_proto(to_proto(flow), &mut Interners::default());
        assert_eq!(filters.matches(&same), first, "an equal flow");
    }
    check_complement(whitelist);
}

fn check_complement(whitelist: &[pb::FlowFilter]) {
    let Ok(mut denied) = Filters::compile(&[], whitelist) else {
        panic!("the whitelist compiled, so it does as a blacklist");
    };
    let Ok(mut listed) = Filters::compile(whitelist, &[]) else {
        panic!("the whitelist compiled with a blacklist");
    };
    if whitelist.is_empty() {
        return;
    }
    for flow in SAMPLES.iter() {
        match (denied.matches(flow), listed.matches(flow)) {
            (Ok(denied), Ok(listed)) => assert_ne!(denied, listed, "the complement"),
            (denied, listed) => assert!(denied.is_err() && listed.is_err()),
        }
    }
}
