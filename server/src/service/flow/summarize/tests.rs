use super::*;
use crate::{
    flow::{Flow, L4},
    store::RingWriter,
};

const START: i64 = 1_000_000_000;

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: START + seconds,
        nanos: 0,
    })
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// Flows of long ago, one a second, to ports from 1 on; the times do not rise.
fn store(capacity: u64, flows: i64) -> (Ring, RingWriter) {
    let (ring, mut writer) = Ring::new(capacity);
    writer.push((0..flows).rev().map(|place| {
        Event::Flow(Flow {
            time: at(place).map(Time::from),
            l4: Some(L4::Udp {
                source_port: 40_000,
                destination_port: place as u32 + 1,
            }),
            ..Flow::default()
        })
    }));
    (ring, writer)
}

fn ask(ring: &Ring, request: &api::SummarizeFlowsRequest) -> Result<api::FlowSummary, Status> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut query = SummaryQuery::compile(request, Duration::from_secs(10), "", &View::WHOLE)?;
    runtime.block_on(query.run(ring, Time::now()))
}

fn ports(summary: &api::FlowSummary) -> Vec<&str> {
    summary
        .groups
        .iter()
        .map(|group| &*group.values[0])
        .collect()
}

fn incident() -> api::SummarizeFlowsRequest {
    api::SummarizeFlowsRequest {
        since: at(10),
        until: at(19),
        group_by: vec![FlowField::ServerPort.into()],
        limit: 100,
        ..api::SummarizeFlowsRequest::default()
    }
}

#[test]
fn a_window_of_long_ago_has_its_flows_and_its_rates() {
    let (ring, _writer) = store(100, 60);
    let summary = ask(&ring, &incident()).unwrap();
    let total = summary.total.as_ref().unwrap();
    assert_eq!((total.flows, summary.group_count), (10, 10));
    assert!((total.flows_per_second - 10.0 / 9.0).abs() < 1e-9);
    assert_eq!((summary.since, summary.until), (at(10), at(19)));
    let group = summary.groups.last().unwrap();
    assert_eq!(
        (group.values[0].as_str(), group.first_seen, group.last_seen),
        ("20", at(19), at(19))
    );
    // To now, and the minute before an end.
    let open = api::SummarizeFlowsRequest {
        until: None,
        ..incident()
    };
    assert_eq!(ask(&ring, &open).unwrap().total.unwrap().flows, 50);
    let minute = api::SummarizeFlowsRequest {
        since: None,
        until: at(70),
        ..incident()
    };
    assert_eq!(ask(&ring, &minute).unwrap().total.unwrap().flows, 50);
}

#[test]
fn parts_have_their_times_and_add_up() {
    let (ring, _writer) = store(100, 60);
    let request = api::SummarizeFlowsRequest {
        bucket: seconds(4),
        ..incident()
    };
    let summary = ask(&ring, &request).unwrap();
    let parts: Vec<_> = summary
        .buckets
        .iter()
        .map(|part| (part.since, part.until, part.traffic.as_ref().unwrap().flows))
        .collect();
    assert_eq!(
        parts,
        [
            (at(10), at(14), 4),
            (at(14), at(18), 4),
            (at(18), at(19), 2)
        ]
    );
    let last = summary.groups.last().unwrap();
    let flows: Vec<u64> = last.buckets.iter().map(|part| part.flows).collect();
    assert_eq!((last.values[0].as_str(), flows), ("20", vec![0, 0, 1]));
}

#[test]
fn pages_stay_the_same_while_flows_come() {
    let (ring, mut writer) = store(1000, 60);
    let whole = ask(&ring, &incident()).unwrap();
    assert_eq!(whole.next_page_token, "");
    let mut request = api::SummarizeFlowsRequest {
        limit: 4,
        ..incident()
    };
    let mut seen: Vec<String> = Vec::new();
    for flows in [4, 4, 2] {
        let page = ask(&ring, &request).unwrap();
        assert_eq!(
            (page.groups.len(), page.group_count, page.total),
            (flows, 10, whole.total)
        );
        seen.extend(ports(&page).into_iter().map(str::to_owned));
        request.page_token = page.next_page_token;
        // Of the same window, and largest of all.
        writer.push((0..50).map(|_| {
            Event::Flow(Flow {
                time: at(15).map(Time::from),
                ..Flow::default()
            })
        }));
    }
    assert_eq!(request.page_token, "");
    assert_eq!(seen, ports(&whole));
    assert_eq!(ask(&ring, &incident()).unwrap().group_count, 11);
}

#[test]
fn a_begin_that_was_overwritten_is_told() {
    let (ring, _writer) = store(45, 60);
    // Seconds 44 to 0 are left, the newest first.
    let request = api::SummarizeFlowsRequest {
        since: at(0),
        until: at(59),
        ..incident()
    };
    assert_eq!(ask(&ring, &request).unwrap().since, at(44));
    assert_eq!(ask(&ring, &incident()).unwrap().since, at(10));
}

#[test]
fn wrong_fields_are_named() {
    let check = |request: api::SummarizeFlowsRequest, begin: &str| {
        let refused = SummaryQuery::compile(&request, Duration::ZERO, "", &View::WHOLE)
            .err()
            .unwrap();
        assert!(refused.message().starts_with(begin), "{refused}");
    };
    check(
        api::SummarizeFlowsRequest {
            window: seconds(5),
            ..incident()
        },
        "window: ",
    );
    check(
        api::SummarizeFlowsRequest {
            since: at(20),
            ..incident()
        },
        "since: ",
    );
    let broken = Some(prost_types::Timestamp {
        seconds: 0,
        nanos: -1,
    });
    check(
        api::SummarizeFlowsRequest {
            until: broken,
            since: None,
            ..incident()
        },
        "until: ",
    );
    check(
        api::SummarizeFlowsRequest {
            bucket: seconds(0),
            ..incident()
        },
        "bucket: ",
    );
    check(
        api::SummarizeFlowsRequest {
            bucket: seconds(1),
            until: None,
            ..incident()
        },
        "bucket: ",
    );
    check(
        api::SummarizeFlowsRequest {
            limit: 10_001,
            ..incident()
        },
        "limit: ",
    );
    check(
        api::SummarizeFlowsRequest {
            page_token: "1-2-3-4-5".into(),
            ..incident()
        },
        "page_token: ",
    );
    for request in [
        incident(),
        api::SummarizeFlowsRequest {
            until: at(1),
            ..Default::default()
        },
    ] {
        let refused =
            SummaryQuery::compile_repeated(&request, Duration::ZERO, "summary.", &View::WHOLE);
        let refused = refused.err().unwrap();
        assert!(refused.message().contains("give window"), "{refused}");
    }
}

#[test]
fn slow_and_runaway_filters_are_told_and_give_others_a_turn() {
    use futures::FutureExt as _;
    use sextant_proto::flow::flow_filter::Experimental;
    let (ring, _writer) = store(200, 200);
    let list: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    let all = |name: &str, inner: &str| format!("[{}].all({name}, {inner})", list.join(","));
    let filter = |expression: String| FlowFilter {
        experimental: Some(Experimental {
            cel_expression: vec![expression],
        }),
        ..FlowFilter::default()
    };
    let slow = filter(all("a", &all("b", "a != b || a == b")));
    let runaway = filter(all("a", &all("b", &all("c", &all("d", "true")))));
    let hints_of = |filter: &FlowFilter| api::ListFilterHintsRequest {
        field: FlowField::ServerPort.into(),
        whitelist: vec![filter.clone()],
        ..api::ListFilterHintsRequest::default()
    };
    let summary_of = |filter: &FlowFilter| api::SummarizeFlowsRequest {
        blacklist: vec![filter.clone()],
        since: at(0),
        until: at(1000),
        ..api::SummarizeFlowsRequest::default()
    };
    let compile = |filter| {
        SummaryQuery::compile(&summary_of(filter), Duration::ZERO, "", &View::WHOLE).unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let status = runtime
        .block_on(hints(hints_of(&runaway), &ring, &View::WHOLE))
        .unwrap_err();
    assert!(status.message().starts_with("whitelist[0].experimental"));
    let status = runtime
        .block_on(compile(&runaway).run(&ring, Time::now()))
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert!(status.message().starts_with("blacklist[0].experimental"));
    type Work<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;
    fn turns(mut work: Work<'_>) -> usize {
        let is_done = |work: &mut Work<'_>| work.as_mut().now_or_never().is_some();
        (0..).take_while(|_| !is_done(&mut work)).count()
    }
    let hinted = async { drop(hints(hints_of(&slow), &ring, &View::WHOLE).await.unwrap()) };
    assert!(turns(Box::pin(hinted)) > 50);
    let mut query = compile(&slow);
    let summed = async { drop(query.run(&ring, Time::now()).await.unwrap()) };
    assert!(turns(Box::pin(summed)) > 50);
}

#[test]
fn too_many_filters_are_refused_by_their_path() {
    let (ring, _writer) = store(10, 10);
    let request = api::SummarizeFlowsRequest {
        blacklist: vec![FlowFilter::default(); 1025],
        ..api::SummarizeFlowsRequest::default()
    };
    let refused = ask(&ring, &request).unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().starts_with("blacklist[1024]: "));
}
