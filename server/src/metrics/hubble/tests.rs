//! What is counted, from the store to the page. Which flows each metric counts, and under
//! which labels, is held against the real handlers elsewhere.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use prometheus_client::{encoding::text::encode, registry::Registry};
use sextant_flows::flow::Interned;
use sextant_proto::flow::{
    self as pb, AgentEvent, AgentEventType, EndpointUpdateNotification, LostEvent,
    agent_event::Notification,
};
use tokio::sync::watch;

use super::{follow::Engine as _, *};
use crate::{
    flow::{Endpoint, Flow},
    store::{Event, Ring, Stamped},
};

fn hubble(settings: &[&str], series: usize) -> HubbleMetrics {
    let parsed = settings.iter().map(|text| Setting::parse(text).unwrap());
    let hubble = Hubble {
        metrics: parsed.collect(),
        series,
        ..Hubble::default()
    };
    HubbleMetrics::new(&hubble).unwrap().unwrap()
}

/// What stands behind a series on the page; none if it is not there.
fn value(hubble: &HubbleMetrics, series: &str) -> Option<u64> {
    let mut registry = Registry::with_prefix("hubble");
    registry.register_collector(Box::new(hubble.clone()));
    let mut page = String::new();
    encode(&mut page, &registry).unwrap();
    let value = page.lines().find_map(|line| line.strip_prefix(series));
    value.map(|value| value.trim().parse().unwrap())
}

fn flow(verdict: pb::Verdict, pod: &str) -> Event {
    Event::Flow(Flow {
        verdict: verdict.into(),
        source: Some(Interned::from(Endpoint {
            namespace: "shop".into(),
            pod_name: pod.into(),
            ..Endpoint::default()
        })),
        ..Flow::default()
    })
}

fn endpoint(kind: AgentEventType, pod: &str) -> Event {
    Event::Agent(Box::new(Stamped {
        time: None,
        node_name: String::new(),
        event: AgentEvent {
            r#type: kind.into(),
            notification: Some(Notification::EndpointUpdate(EndpointUpdateNotification {
                namespace: "shop".into(),
                pod_name: pod.into(),
                ..EndpointUpdateNotification::default()
            })),
        },
    }))
}

#[test]
fn series_of_an_endpoint_that_is_gone_are_removed_and_no_others() {
    let hubble = hubble(
        &[
            "flow:sourceContext=pod|ip",
            "drop:labelsContext=source_pod,source_namespace",
            "port-distribution:labelsContext=source_pod",
            "policy:sourceContext=pod-name",
        ],
        10,
    );
    let now = Instant::now();
    {
        let mut engine = hubble.lock();
        for pod in ["web", "db"] {
            engine.see(&flow(pb::Verdict::Dropped, pod), now);
        }
        engine.see(&endpoint(AgentEventType::EndpointDeleted, "web"), now);
        assert!(engine.forget(now).is_some());
    }
    let flows = |pod| {
        format!(
            "hubble_flows_processed_total{{source=\"shop/{pod}\",protocol=\"Unknown flow\",type=\"Unknown\",\
             subtype=\"0\",verdict=\"DROPPED\"}}"
        )
    };
    let drops = |pod| {
        format!(
            "hubble_drop_total{{source_pod=\"{pod}\",source_namespace=\"shop\",\
             reason=\"DROP_REASON_UNKNOWN\",protocol=\"Unknown flow\"}}"
        )
    };
    let seen = |series: String| value(&hubble, &series);
    assert_eq!((seen(flows("web")), seen(drops("web"))), (Some(1), Some(1)));
    assert_eq!(hubble.lock().forget(now + Duration::from_secs(61)), None);
    assert_eq!((seen(flows("web")), seen(drops("web"))), (None, None));
    assert_eq!((seen(flows("db")), seen(drops("db"))), (Some(1), Some(1)));
}

#[test]
fn lost_events_are_counted_by_where_they_were_lost() {
    let hubble = hubble(&["lost-events"], 10);
    let lost = |source: pb::LostEventSource, events| {
        Event::Lost(Box::new(Stamped {
            time: None,
            node_name: String::new(),
            event: LostEvent {
                source: source.into(),
                num_events_lost: events,
                ..LostEvent::default()
            },
        }))
    };
    let mut engine = hubble.lock();
    for (source, events) in [
        (pb::LostEventSource::PerfEventRingBuffer, 5),
        (pb::LostEventSource::PerfEventRingBuffer, u64::MAX - 6),
        (pb::LostEventSource::ObserverEventsQueue, 7),
        (pb::LostEventSource::UnknownLostEventSource, 9),
    ] {
        engine.see(&lost(source, events), Instant::now());
    }
    drop(engine);
    for (source, events) in [
        ("perf_event_ring_buffer", u64::MAX - 1),
        ("observer_events_queue", 7),
        ("hubble_ring_buffer", 0),
    ] {
        let series = format!("hubble_lost_events_total{{source=\"{source}\"}}");
        assert_eq!(value(&hubble, &series), Some(events), "{source}");
    }
}

/// Runs the reader beside `work`, and until it has looked at so many events.
fn follow(hubble: &HubbleMetrics, ring: &Ring, events: u64, work: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (end, ending) = watch::channel(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            runtime.block_on(hubble.clone().follow(ring.clone(), ending));
        });
        work();
        let begun = Instant::now();
        let seen = || {
            let counts = hubble.counts();
            counts.flows + counts.lapped
        };
        while seen() < events && begun.elapsed() < Duration::from_secs(30) {
            std::thread::yield_now();
        }
        end.send_replace(true);
        reader.join().unwrap();
    });
}

#[test]
fn a_reader_that_is_overtaken_counts_what_it_missed() {
    let hubble = hubble(&["flow"], 10);
    let (ring, mut writer) = Ring::new(1000);
    writer.push((0..5000).map(|_| flow(pb::Verdict::Forwarded, "web")));
    follow(&hubble, &ring, 5000, || ());
    let counts = hubble.counts();
    assert_eq!((counts.flows, counts.lapped), (1000, 4000));
    let lost = "hubble_lost_events_total{source=\"hubble_ring_buffer\"}";
    assert_eq!(value(&hubble, lost), Some(4000));
}

const SERIES: &str = "hubble_flows_processed_total{protocol=\"Unknown flow\",type=\"Unknown\",\
                      subtype=\"0\",verdict=\"FORWARDED\"}";

/// A file that changes all the time, good and bad, while flows come.
#[test]
fn no_flow_is_counted_twice_or_not_at_all_over_a_reload() {
    const FLOWS: u64 = 200_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.yaml");
    let write = |text: &str| {
        let next = folder.path().join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, &path).unwrap();
    };
    write("metrics: [{name: flow}]");
    let settings = Hubble {
        file: Some(path.clone()),
        ..Hubble::default()
    };
    let hubble = HubbleMetrics::new(&settings).unwrap().unwrap();
    let (ring, mut writer) = Ring::new(FLOWS);
    let is_done = AtomicBool::new(false);
    let mut reloads = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..FLOWS / 50 {
                writer.push((0..50).map(|_| flow(pb::Verdict::Forwarded, "web")));
            }
            is_done.store(true, Relaxed);
        });
        follow(&hubble, &ring, FLOWS, || {
            let files = [
                "metrics: [{name: drop}, {name: flow, excludeFilters: [{verdict: [DROPPED]}]}]",
                "metrics: [{name: flow, includeFilters: [{verdict: [FORWARDED]}]}, {name: tcp}]",
                "metrics: [{name: flow",
                "metrics: [{name: flow}]",
                "metrics: [{name: flow, contextOptions: [{name: sourceContext, values: [ip]}]}]",
            ];
            while !is_done.load(Relaxed) {
                write(files[reloads % files.len()]);
                hubble.reload();
                reloads += 1;
            }
        });
    });
    assert!(reloads > 5, "{reloads}");
    let counts = hubble.counts();
    assert_eq!((counts.flows, counts.lapped), (FLOWS, 0));
    assert_eq!(value(&hubble, SERIES), Some(FLOWS), "{reloads} reloads");
}

#[test]
fn a_file_is_taken_up_while_there_are_no_flows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.yaml");
    std::fs::write(&path, "metrics: [{name: flow}]").unwrap();
    let settings = Hubble {
        file: Some(path.clone()),
        ..Hubble::default()
    };
    let hubble = HubbleMetrics::new(&settings).unwrap().unwrap();
    let (ring, mut writer) = Ring::new(100);
    writer.push([flow(pb::Verdict::Forwarded, "web")]);
    follow(&hubble, &ring, 1, || {
        while hubble.counts().flows == 0 {
            std::thread::yield_now();
        }
        std::fs::write(&path, "metrics: [{name: flow}, {name: tcp}]").unwrap();
        hubble.reload();
        let begun = Instant::now();
        while hubble.counts().families.len() < 2 {
            assert!(begun.elapsed() < Duration::from_secs(30), "not taken up");
            std::thread::yield_now();
        }
    });
}

#[test]
fn a_metric_that_was_off_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.yaml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write("metrics: [{name: flow}]");
    let settings = Hubble {
        file: Some(path.clone()),
        ..Hubble::default()
    };
    let hubble = HubbleMetrics::new(&settings).unwrap().unwrap();
    for (text, is) in [
        ("metrics: [{name: flow}]", Some(1)),
        (
            "metrics: [{name: flow, excludeFilters: [{verdict: [FORWARDED]}]}]",
            Some(1),
        ),
        ("metrics: []", None),
        ("metrics: [{name: flow}]", Some(1)),
    ] {
        write(text);
        hubble.reload();
        let current = hubble.file.as_ref().unwrap().current();
        hubble.lock().apply(&current).unwrap();
        hubble
            .lock()
            .see(&flow(pb::Verdict::Forwarded, "web"), Instant::now());
        assert_eq!(value(&hubble, SERIES), is, "{text}");
    }
}
