use sextant_proto::flow as pb;

use super::{check, texts};

fn on_source(wanted: &str, address: &str, matches: bool) {
    check(
        pb::FlowFilter {
            source_ip: texts(&[wanted]),
            ..Default::default()
        },
        pb::Flow {
            ip: Some(pb::Ip {
                source: address.into(),
                ..Default::default()
            }),
            ..Default::default()
        },
        matches,
    );
}

#[test]
fn addresses_are_compared_as_texts() {
    for (wanted, address, matches) in [
        ("10.0.0.1", "10.0.0.1", true),
        ("10.0.0.1", "10.0.0.2", false),
        ("2001:db8::1", "2001:db8::1", true),
        ("2001:DB8::1", "2001:db8::1", false),
        ("2001:DB8::1", "2001:DB8::1", true),
        ("::ffff:1.2.3.4", "::ffff:1.2.3.4", true),
        ("::ffff:1.2.3.4", "1.2.3.4", false),
        ("fe80::1%eth0", "fe80::1%eth0", true),
        ("10.0.0.1", "", false),
    ] {
        on_source(wanted, address, matches);
    }
}

#[test]
fn networks_hold_addresses_of_their_family() {
    for (network, address, matches) in [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.1.2.3/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("0.0.0.0/0", "1.2.3.4", true),
        ("0.0.0.0/0", "::1", false),
        ("0.0.0.0/0", "::ffff:1.2.3.4", false),
        ("::ffff:0:0/96", "::ffff:1.2.3.4", true),
        ("2001:db8::/32", "2001:DB8::1", true),
        ("fe80::/10", "fe80::1%eth0", false),
        ("::/0", "x", false),
    ] {
        on_source(network, address, matches);
    }
}

#[test]
fn a_translated_source_needs_an_ip_header() {
    let filter = || pb::FlowFilter {
        source_ip_xlated: texts(&["10.0.0.0/8"]),
        ..Default::default()
    };
    let ip = pb::Ip {
        source_xlated: "10.0.0.9".into(),
        ..Default::default()
    };
    let of = pb::Flow {
        ip: Some(ip),
        ..Default::default()
    };
    check(filter(), of, true);
    check(filter(), pb::Flow::default(), false);
}
