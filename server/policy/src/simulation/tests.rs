use std::net::Ipv4Addr;

use sextant_flows::flow::{Endpoint, Interners, Ip, L4};
use sextant_proto::flow::DropReason;

use super::*;
use crate::{document, set::Enforcement};

const POLICY: &str = r"
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: system}
spec:
  endpointSelector: {matchLabels: {unit: web.service}}
  ingress:
  - fromEndpoints: [{matchLabels: {unit: api.service}}]
    toPorts: [{ports: [{port: '80', protocol: TCP}]}]
";

fn unit(name: &str) -> Endpoint {
    Endpoint {
        namespace: "system".into(),
        pod_name: name.into(),
        labels: vec![
            "sextant:namespace=system".into(),
            format!("sextant:unit={name}"),
        ],
        ..Endpoint::default()
    }
}

/// From a unit, or from outside, to the unit `web.service`.
fn flow(client: Option<Endpoint>, port: u32, verdict: i32, is_reply: bool) -> Flow {
    let mut interners = Interners::default();
    let mut ends = [
        client.map(|client| interners.endpoints.intern(client)),
        Some(interners.endpoints.intern(unit("web.service"))),
    ];
    let mut addresses = [[192, 0, 2, 9], [10, 0, 0, 1]];
    let mut ports = [40_000, port];
    if is_reply {
        ends.reverse();
        addresses.reverse();
        ports.reverse();
    }
    let [source, destination] = ends;
    Flow {
        verdict,
        is_reply: Some(is_reply),
        source,
        destination,
        ip: Some(Ip {
            source: std::net::IpAddr::from(Ipv4Addr::from(addresses[0])).into(),
            destination: std::net::IpAddr::from(Ipv4Addr::from(addresses[1])).into(),
            version: 1,
            encrypted: false,
        }),
        l4: Some(L4::Tcp {
            source_port: ports[0],
            destination_port: ports[1],
            flags: None,
        }),
        ..Flow::default()
    }
}

fn simulate(flows: &[Flow]) -> (Vec<(Change, Count)>, Counts) {
    simulate_with(POLICY, flows)
}

fn simulate_with(policy: &str, flows: &[Flow]) -> (Vec<(Change, Count)>, Counts) {
    let Ok(policies) = document::parse(policy) else {
        panic!("the policy is good");
    };
    let set = PolicySet::new(policies, Enforcement::Default);
    let mut simulation = Simulation::new(&set);
    for flow in flows {
        simulation.see(flow);
    }
    simulation.finish()
}

#[test]
fn flows_that_a_policy_would_deny_are_told_with_their_connection_in_both_directions() {
    let (changes, counts) = simulate(&[
        flow(Some(unit("api.service")), 80, 1, false),
        flow(Some(unit("api.service")), 80, 1, true),
        flow(Some(unit("api.service")), 22, 1, false),
        flow(None, 80, 1, false),
        flow(None, 80, 1, true),
    ]);
    assert_eq!((counts.judged, counts.selected, counts.denied), (5, 5, 3));
    let told: Vec<_> = changes
        .iter()
        .map(|(change, count)| {
            let Change {
                client,
                server,
                port,
                by,
                ..
            } = change;
            format!("{client} > {server}:{port} {} by {by}", count.flows)
        })
        .collect();
    assert_eq!(
        told,
        [
            "192.0.2.9 > system/web.service:80 2 by CiliumNetworkPolicy system/web default deny",
            "system/api.service > system/web.service:22 1 by CiliumNetworkPolicy system/web default deny",
        ]
    );
}

#[test]
fn what_a_policy_denied_may_be_let_through_and_other_drops_stay() {
    let mut denied = flow(Some(unit("api.service")), 80, 2, false);
    denied.drop_reason_desc = DropReason::PolicyDenied.into();
    denied.is_reply = None;
    let mut dropped = denied.clone();
    dropped.drop_reason_desc = DropReason::InvalidPacketDropped.into();
    let (changes, counts) = simulate(&[denied, dropped]);
    assert_eq!((counts.judged, counts.allowed, counts.denied), (2, 1, 0));
    assert_eq!(changes[0].0.by, "CiliumNetworkPolicy system/web ingress[0]");
}

#[test]
fn what_does_not_say_who_opened_it_is_counted_apart() {
    let mut unknown = flow(None, 80, 1, false);
    unknown.is_reply = None;
    let (changes, counts) = simulate(&[unknown]);
    assert!(changes.is_empty());
    assert_eq!(counts.judged, 0);
    assert_eq!(counts.not_judged[&NotJudged::NoInitiator], 1);
}

#[test]
fn a_policy_for_everybody_is_not_about_those_outside() {
    let policy = "{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: all}, \
         spec: {endpointSelector: {}, ingress: [{}], egress: [{toEntities: [world]}]}}";
    let mut out = flow(None, 443, 1, true);
    out.is_reply = Some(false);
    let (changes, counts) = simulate_with(policy, &[out]);
    assert_eq!(changes, []);
    assert_eq!((counts.judged, counts.selected), (1, 1));
}
