use sextant_flows::flow::{self, Interners, Ip, L4};

use super::*;
use crate::{
    document,
    policy::Policy,
    selector::{Operator, Requirement},
    set::{Enforcement, PolicySet},
    simulation::Simulation,
};

fn unit(name: &str) -> Option<flow::Endpoint> {
    Some(flow::Endpoint {
        namespace: "system".into(),
        pod_name: name.into(),
        labels: vec![
            "sextant:namespace=system".into(),
            format!("sextant:unit={name}"),
        ],
        ..flow::Endpoint::default()
    })
}

fn host() -> Option<flow::Endpoint> {
    Some(flow::Endpoint {
        labels: vec!["reserved:host".into()],
        ..flow::Endpoint::default()
    })
}

fn flow(ends: [Option<flow::Endpoint>; 2], addresses: [&str; 2], l4: L4) -> Flow {
    let mut interners = Interners::default();
    let [source, destination] = ends.map(|end| end.map(|end| interners.endpoints.intern(end)));
    let [from, to] = addresses.map(flow::Address::from_text);
    Flow {
        verdict: 1,
        is_reply: Some(false),
        source,
        destination,
        ip: Some(Ip {
            source: from,
            destination: to,
            version: 1,
            encrypted: false,
        }),
        l4: Some(l4),
        ..Flow::default()
    }
}

fn tcp(port: u32) -> L4 {
    L4::Tcp {
        source_port: 40_000,
        destination_port: port,
        flags: None,
    }
}

fn ping() -> L4 {
    L4::Icmp4 { kind: 8, code: 0 }
}

/// What the unit `web@1.service` does.
fn flows() -> Vec<Flow> {
    let web = || unit("web@1.service");
    let mut flows = vec![
        flow(
            [unit("api.service"), web()],
            ["10.0.0.2", "10.0.0.1"],
            tcp(80),
        ),
        flow([host(), web()], ["10.0.0.3", "10.0.0.1"], tcp(80)),
        flow([None, web()], ["192.0.2.7", "10.0.0.1"], tcp(443)),
        flow([None, web()], ["192.0.2.7", "10.0.0.1"], ping()),
        flow([web(), None], ["10.0.0.1", "2001:db8::1"], tcp(5432)),
        flow(
            [web(), unit("db.service")],
            ["10.0.0.1", "10.0.0.4"],
            tcp(5432),
        ),
    ];
    flows.extend((0..100).map(|n| flow([web(), None], ["10.0.0.1", "192.0.2.9"], tcp(1000 + n))));
    flows
}

fn suggest(flows: &[Flow]) -> (Vec<Policy>, Counts) {
    let operator = Operator::In(vec!["web@1.service".into()]);
    let mut suggestion = Suggestion::new(Selector::new(vec![Requirement::new("unit", operator)]));
    for flow in flows {
        suggestion.see(flow);
    }
    let selector = json!({ "matchLabels": { "unit": "web@1.service" } });
    let document = suggestion.document("web", "system", &selector).to_string();
    match document::parse(&document) {
        Ok(policies) => (policies, suggestion.counts()),
        Err(problems) => panic!("{document}: {problems}"),
    }
}

#[test]
fn a_suggested_policy_allows_all_that_was_seen_and_nothing_else() {
    let flows = flows();
    let (policies, counts) = suggest(&flows);
    let left_out = 0;
    assert_eq!(
        counts,
        Counts {
            allowed: 106,
            left_out
        }
    );
    let set = PolicySet::new(policies, Enforcement::Default);
    let mut simulation = Simulation::new(&set);
    for flow in &flows {
        simulation.see(flow);
    }
    let (changes, counts) = simulation.finish();
    assert_eq!(changes, []);
    assert_eq!(counts.selected, 106);
    let web = || unit("web@1.service");
    let others = [
        flow(
            [unit("api.service"), web()],
            ["10.0.0.2", "10.0.0.1"],
            tcp(81),
        ),
        flow(
            [unit("cron.service"), web()],
            ["10.0.0.2", "10.0.0.1"],
            tcp(80),
        ),
        flow([None, web()], ["192.0.2.8", "10.0.0.1"], tcp(443)),
        flow([web(), None], ["10.0.0.1", "192.0.2.9"], tcp(999)),
        flow([web(), host()], ["10.0.0.1", "10.0.0.3"], tcp(80)),
    ];
    let mut simulation = Simulation::new(&set);
    for flow in &others {
        simulation.see(flow);
    }
    assert_eq!(simulation.finish().1.denied, 5);
}

#[test]
fn where_nothing_was_seen_everything_is_denied() {
    let (policies, counts) = suggest(&[]);
    assert_eq!(counts, Counts::default());
    let set = PolicySet::new(policies, Enforcement::Default);
    let mut simulation = Simulation::new(&set);
    for flow in flows() {
        simulation.see(&flow);
    }
    assert_eq!(simulation.finish().1.denied, 106);
}

#[test]
fn a_peer_that_nothing_tells_from_others_is_counted() {
    let nameless = Some(flow::Endpoint {
        namespace: "system".into(),
        labels: vec!["sextant:namespace=system".into()],
        ..flow::Endpoint::default()
    });
    let ends = [nameless, unit("web@1.service")];
    let (_, counts) = suggest(&[flow(ends, ["10.0.0.2", "10.0.0.1"], tcp(80))]);
    assert_eq!((counts.allowed, counts.left_out), (0, 1));
}
