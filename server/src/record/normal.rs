//! What is rewritten in a recorded flow, so that filters find it: they lower-case
//! their patterns and cut a final dot, and take the names of flows as they are.

use std::net::IpAddr;

use sextant_proto::flow as pb;

/// Writes names as filters look for them, and fills in the IP version.
pub(crate) fn normalise(flow: &mut pb::Flow) {
    name(&mut flow.node_name);
    let names = flow.source_names.iter_mut();
    names.chain(&mut flow.destination_names).for_each(name);
    if let Some(ip) = &mut flow.ip
        && ip.ip_version == pb::IpVersion::IpNotUsed as i32
    {
        let texts = [&ip.source, &ip.destination];
        let address = texts.into_iter().find_map(|text| text.parse().ok());
        ip.ip_version = match address {
            Some(IpAddr::V4(_)) => pb::IpVersion::IPv4.into(),
            Some(IpAddr::V6(_)) => pb::IpVersion::IPv6.into(),
            None => ip.ip_version,
        };
    }
}

/// Lower case, without space around it and without the dot of the root.
fn name(name: &mut String) {
    let plain = name.trim();
    let plain = plain.strip_suffix('.').unwrap_or(plain);
    if plain.len() != name.len() || plain.chars().any(char::is_uppercase) {
        *name = plain.to_lowercase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_filters_look_for_them() {
        let mut flow = pb::Flow {
            node_name: "East/Moon_1.".into(),
            source_names: vec!["WWW.Example.com.".into(), "db.internal".into()],
            destination_names: vec![" B\u{dc}CHER.example ".into(), ".".into(), String::new()],
            ..pb::Flow::default()
        };
        normalise(&mut flow);
        assert_eq!(flow.node_name, "east/moon_1");
        assert_eq!(flow.source_names, ["www.example.com", "db.internal"]);
        assert_eq!(flow.destination_names, ["b\u{fc}cher.example", "", ""]);
    }

    #[test]
    fn the_version_is_that_of_the_addresses_unless_it_is_told() {
        let check = |source: &str, destination: &str, told: i32, wanted: pb::IpVersion| {
            let mut flow = pb::Flow {
                ip: Some(pb::Ip {
                    source: source.into(),
                    destination: destination.into(),
                    ip_version: told,
                    ..pb::Ip::default()
                }),
                ..pb::Flow::default()
            };
            normalise(&mut flow);
            assert_eq!(flow.ip.map(|ip| ip.ip_version), Some(wanted.into()));
        };
        check("10.0.0.1", "10.0.0.2", 0, pb::IpVersion::IPv4);
        check("", "fd00::1", 0, pb::IpVersion::IPv6);
        check("::ffff:10.0.0.1", "", 0, pb::IpVersion::IPv6);
        check("", "", 0, pb::IpVersion::IpNotUsed);
        check("10.0.0.1", "", 2, pb::IpVersion::IPv6);
    }
}
