//! Ports that Docker's API tells of a container, in its two forms: published ones of
//! a list (`Ports`), and those of one container (`NetworkSettings`). Of a container
//! that does not run there are none, whatever is told.
//!
//! Pure. Bound: `MOST_PORTS`, `MOST_NETWORKS`; what is no port or no address is left out.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Deserialize;

use super::{
    bounded,
    named::{Named, Published, protocol},
};

/// Ports of a container.
pub(super) const MOST_PORTS: usize = 16_384;
/// Networks that it is in.
const MOST_NETWORKS: usize = 256;

/// One of a list.
#[derive(Deserialize)]
pub(super) struct Port {
    #[serde(rename = "IP")]
    address: Option<String>,
    #[serde(rename = "PublicPort")]
    public: Option<u16>,
    #[serde(rename = "Type")]
    kind: Option<String>,
}

/// Of one container; of a list the networks alone.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NetworkSettings {
    /// By `80/tcp`: where on the host.
    #[serde(default, deserialize_with = "bounded::table::<_, _, MOST_PORTS>")]
    ports: Option<BTreeMap<String, Option<Vec<Binding>>>>,
    #[serde(default, deserialize_with = "bounded::table::<_, _, MOST_NETWORKS>")]
    networks: Option<BTreeMap<String, Option<Network>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Binding {
    host_ip: Option<String>,
    host_port: Option<String>,
}

#[derive(Deserialize)]
struct Network {
    #[serde(rename = "IPAddress")]
    four: Option<String>,
    #[serde(rename = "GlobalIPv6Address")]
    six: Option<String>,
}

/// What a container that runs has of the network.
#[derive(Default)]
pub(super) struct Reached {
    published: Vec<Published>,
    addresses: Vec<IpAddr>,
}

impl Reached {
    /// By a list.
    pub(super) fn listed(ports: Option<Vec<Port>>, settings: Option<NetworkSettings>) -> Self {
        let published = |port: Port| {
            let address = address(port.address.as_deref())?;
            published(port.kind.as_deref()?, port.public?, address)
        };
        let ports = ports.unwrap_or_default().into_iter();
        Self::new(ports.filter_map(published).collect(), settings)
    }

    /// By what is told of one container.
    pub(super) fn inspected(mut settings: NetworkSettings) -> Self {
        let ports = settings.ports.take().unwrap_or_default().into_iter();
        let of_port = |(inner, bindings): (String, Option<Vec<Binding>>)| {
            let kind = inner.rsplit('/').next().unwrap_or_default().to_owned();
            let bindings = bindings.unwrap_or_default().into_iter();
            bindings.filter_map(move |binding| {
                let port = binding.host_port?.parse().ok()?;
                published(&kind, port, address(binding.host_ip.as_deref())?)
            })
        };
        Self::new(ports.flat_map(of_port).collect(), Some(settings))
    }

    fn new(mut published: Vec<Published>, settings: Option<NetworkSettings>) -> Self {
        published.sort_unstable();
        published.dedup();
        let networks = settings.and_then(|settings| settings.networks);
        let networks = networks.unwrap_or_default().into_values().flatten();
        let texts = networks.flat_map(|network| [network.four, network.six]);
        let mut addresses: Vec<IpAddr> = texts.filter_map(|text| text?.parse().ok()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Self {
            published,
            addresses,
        }
    }

    /// Tells it of a container.
    pub(super) fn tell(self, named: &mut Named) {
        named.published = self.published;
        named.addresses = self.addresses;
    }
}

fn published(kind: &str, port: u16, address: Option<IpAddr>) -> Option<Published> {
    let protocol = protocol(kind).filter(|_| port != 0)?;
    Some(Published {
        protocol,
        port,
        address,
    })
}

/// Where the host has the port: nothing is everywhere; what is no address nowhere.
#[expect(clippy::option_option, reason = "the inner one is a value of its own")]
fn address(text: Option<&str>) -> Option<Option<IpAddr>> {
    match text.unwrap_or_default() {
        "" => Some(None),
        text => text.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(protocol: u8, port: u16, address: &str) -> Published {
        Published {
            protocol,
            port,
            address: address.parse().ok(),
        }
    }

    #[test]
    fn a_list_tells_ports_that_are_published_and_no_others() {
        let ports = r#"[
            {"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},
            {"IP":"::","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},
            {"IP":"","PrivatePort":53,"PublicPort":5353,"Type":"udp"},
            {"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},
            {"PrivatePort":443,"Type":"tcp"},
            {"IP":"no","PrivatePort":1,"PublicPort":1,"Type":"tcp"},
            {"IP":"","PrivatePort":1,"PublicPort":0,"Type":"tcp"},
            {"IP":"","PrivatePort":1,"PublicPort":1,"Type":"icmp"}]"#;
        let settings =
            r#"{"Networks":{"bridge":{"IPAddress":"172.17.0.2","GlobalIPv6Address":""},"x":null}}"#;
        let reached = Reached::listed(
            serde_json::from_str(ports).unwrap(),
            serde_json::from_str(settings).unwrap(),
        );
        let expect = [of(6, 8080, "0.0.0.0"), of(6, 8080, "::"), of(17, 5353, "")];
        assert_eq!(reached.published, expect);
        assert_eq!(reached.addresses, ["172.17.0.2".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn one_container_tells_the_same() {
        let settings = r#"{"Ports":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"},{"HostIp":"","HostPort":"x"},{}],
            "443/tcp":null,"53/udp":[{"HostIp":"","HostPort":"5353"}],"9/sctp":[{"HostPort":"9"}]}}"#;
        let reached = Reached::inspected(serde_json::from_str(settings).unwrap());
        let expect = [of(6, 8080, "127.0.0.1"), of(17, 5353, ""), of(132, 9, "")];
        assert_eq!(reached.published, expect);
    }
}
