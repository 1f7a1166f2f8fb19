use sextant_proto::sextant::flow::v1::{FlowField, SummaryOrder};

use super::{
    super::{Counts, Hints, Span, Tally, answer},
    WINDOW, event, seconds,
};
use crate::flow::Flow;

#[test]
fn pages_together_are_the_whole() {
    let tally = || {
        let mut tally = Tally::new(WINDOW, &[FlowField::DestinationPort]);
        (1..=23).for_each(|port| tally.see(&event(110, 110, port, u64::from(port % 5))));
        tally
    };
    let whole = tally().finish(100, SummaryOrder::Bytes);
    let mut groups = Vec::new();
    for page in 0..4 {
        let summary = tally().finish_page(page * 7, 7, SummaryOrder::Bytes);
        assert_eq!(summary.group_count, 23);
        groups.extend(summary.groups);
    }
    assert_eq!(groups, whole.groups);
    assert_eq!(
        tally().finish_page(21, 7, SummaryOrder::Bytes).others,
        Counts::default()
    );
}

/// A flow to an endpoint of this name.
fn to_pod(name: &str, at: i64) -> Flow {
    let endpoint = crate::flow::Endpoint {
        pod_name: name.into(),
        ..crate::flow::Endpoint::default()
    };
    Flow {
        destination: Some(endpoint.into()),
        ..event(at, at, 1, 1)
    }
}

#[test]
fn a_page_is_as_large_as_clients_take_and_the_next_goes_on_from_there() {
    use prost::Message as _;
    let by_pod = [FlowField::DestinationEndpoint];
    let tally = |names: usize, length: usize, parts: u64| {
        let part = std::time::Duration::from_millis(60_000 / parts);
        let tally = match parts {
            1 => Tally::new(WINDOW, &by_pod),
            _ => Tally::with_buckets(WINDOW, &by_pod, part),
        };
        (0..names).fold(tally, |mut tally, n| {
            tally.see(&to_pod(&format!("{n:0length$}"), 160));
            tally
        })
    };
    // Long names, and many parts of the window in each group.
    for (names, length, parts) in [(150, 50_000, 1), (300, 10, 500)] {
        let span = Span {
            since: seconds(100),
            known_from: seconds(100),
            until: seconds(160),
            bucket: 1,
        };
        let mut seen = std::collections::BTreeSet::new();
        let mut pages = 0;
        while seen.len() < names {
            let page =
                tally(names, length, parts).finish_page(seen.len(), 10_000, SummaryOrder::Flows);
            assert_eq!(page.group_count, names as u64);
            assert_eq!(
                page.others.flows,
                (names - seen.len() - page.groups.len()) as u64
            );
            seen.extend(page.groups.iter().map(|group| group.values[0].clone()));
            let bytes = answer(page, span, 0).encoded_len();
            assert!(bytes < 4 << 20, "{bytes}");
            pages += 1;
        }
        assert!((3..20).contains(&pages), "{pages}");
        let whole = tally(names, length, parts).finish(10_000, SummaryOrder::Flows);
        assert_eq!(whole.groups.len(), names);
    }
}

#[test]
fn texts_beyond_their_room_are_among_the_others() {
    let mut tally = Tally::new(WINDOW, &[FlowField::DestinationEndpoint]);
    let mut hints = Hints::new(FlowField::DestinationEndpoint);
    for n in 0..300 {
        let flow = to_pod(&format!("{n:060000}"), 110);
        tally.see(&flow);
        hints.see(&flow);
        // A value without a text has a place.
        tally.see(&event(110, 110, 1, 1));
    }
    let summary = tally.finish(1000, SummaryOrder::Flows);
    assert!(summary.truncated);
    let shown = summary
        .groups
        .iter()
        .filter(|group| !group.values[0].is_empty());
    let shown = shown.count() as u64;
    assert!((100..200).contains(&shown), "{shown}");
    assert_eq!(summary.others.flows + shown, 300);
    let (values, count) = hints.finish("", 1000);
    assert_eq!(count, shown);
    let bytes: usize = values.iter().map(|(value, _)| value.len()).sum();
    assert!((2 << 20..=3 << 20).contains(&bytes), "{bytes}");
}
