use std::net::IpAddr;

use super::{Draft, Identities, Inventory, Numbers, Provider, reserved};
use crate::config;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

struct HostAddresses(Vec<IpAddr>);

impl Provider for HostAddresses {
    fn contribute(&self, draft: &mut Draft<'_>) {
        for address in &self.0 {
            draft.host(*address);
        }
    }
}

fn inventory(name: &str, addresses: &[&str], cidrs: &[&str]) -> config::Endpoint {
    config::Endpoint {
        name: name.into(),
        namespace: "shop".into(),
        labels: vec![format!("app={name}")],
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        cidrs: cidrs.iter().map(|text| text.parse().unwrap()).collect(),
        ..config::Endpoint::default()
    }
}

fn identities(endpoints: Vec<config::Endpoint>, numbers: Numbers, by_family: bool) -> Identities {
    Identities::new(
        vec![
            Box::new(std::sync::Arc::new(Inventory::new(
                endpoints,
                "default".into(),
            ))),
            Box::new(HostAddresses(vec![ip("10.0.0.1"), ip("10.0.0.9")])),
        ],
        numbers,
        by_family,
    )
}

#[test]
fn addresses_resolve_to_endpoint_then_host_then_range_then_world() {
    let known = vec![
        inventory("web", &["10.0.0.9"], &[]),
        inventory("net", &[], &["10.0.0.0/8"]),
        inventory("narrow", &[], &["10.1.0.0/16"]),
    ];
    let snapshot = identities(known, Numbers::in_memory(), false)
        .snapshot()
        .load_full();
    let check = |address: &str, identity: u32, name: &str| {
        let endpoint = snapshot.resolve(ip(address));
        assert_eq!(
            (endpoint.identity, endpoint.pod_name.as_str()),
            (identity, name),
            "{address}"
        );
    };
    check("10.0.0.9", 256, "web");
    check("10.0.0.1", reserved::HOST, "");
    check("127.0.0.53", reserved::HOST, "");
    check("::1", reserved::HOST, "");
    check("10.2.3.4", 257, "net");
    check("10.1.3.4", 258, "narrow");
    check("192.0.2.1", reserved::WORLD, "");
    check("2001:db8::1", reserved::WORLD, "");
    assert!(snapshot.look_up(ip("10.0.0.9")).1);
}

#[test]
fn the_world_can_be_told_apart_by_family() {
    let snapshot = identities(vec![], Numbers::in_memory(), true)
        .snapshot()
        .load_full();
    assert_eq!(
        snapshot.resolve(ip("192.0.2.1")).identity,
        reserved::WORLD_IPV4
    );
    assert_eq!(
        snapshot.resolve(ip("2001:db8::1")).labels,
        ["reserved:world-ipv6"]
    );
}

#[test]
fn label_sets_keep_their_numbers_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let number_of = |names: &[&str], name: &str| {
        let known = names
            .iter()
            .enumerate()
            .map(|(n, name)| inventory(name, &[&format!("192.0.2.{n}")], &[]))
            .collect();
        let numbers = Numbers::open(folder.path());
        let index = names.iter().position(|other| *other == name).unwrap();
        let snapshot = identities(known, numbers, false).snapshot().load_full();
        snapshot.resolve(ip(&format!("192.0.2.{index}"))).identity
    };
    assert_eq!(number_of(&["a", "b"], "b"), 257);
    assert_eq!(number_of(&["b"], "b"), 257);
    assert_eq!(number_of(&["c", "b"], "c"), 258);
}

#[test]
fn endpoints_that_stay_keep_their_shared_value() {
    let identities = identities(
        vec![inventory("web", &["10.0.0.9"], &[])],
        Numbers::in_memory(),
        false,
    );
    let before = identities
        .snapshot()
        .load_full()
        .resolve(ip("10.0.0.9"))
        .key();
    identities.refresh();
    assert_eq!(
        identities
            .snapshot()
            .load_full()
            .resolve(ip("10.0.0.9"))
            .key(),
        before
    );
}
