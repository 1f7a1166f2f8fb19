//! What an engine says of a container, made safe: a container that is run from
//! somebody's image, or named by somebody, must not pass for something else.
//!
//! - Names have the letters that engines allow; one with others is not taken.
//! - A namespace that is one of ours (`system`, `user-…`, an engine's) gets the
//!   engine's name before it.
//! - Labels never have keys that Sextant gives itself, and come with the engine as
//!   their source. What an image brings is left out by who calls.
//!
//! Pure. Bound: `MOST_LABELS` labels, of `LONGEST_KEY` and `LONGEST_VALUE` bytes.

use std::{collections::BTreeMap, net::IpAddr};

use sextant_flows::printable::is_odd;

/// Source of what Sextant says itself.
pub(crate) const SOURCE: &str = "sextant";
/// Labels of a container that are told.
const MOST_LABELS: usize = 32;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;
/// As long as a name in DNS.
const LONGEST_NAME: usize = 253;

/// Namespaces that mean something by themselves.
const OWN_NAMESPACES: [&str; 9] = [
    "system",
    "docker",
    "podman",
    "containerd",
    "crio",
    "kubernetes",
    "container",
    "lxc",
    "nspawn",
];
/// Keys of labels that Sextant gives: a selector without a source would take a
/// container's own for them.
const OWN_KEYS: [&str; 11] = [
    "namespace",
    "unit",
    "container",
    "pod",
    "engine",
    "image",
    "exe",
    "name",
    "host",
    "world",
    "reserved",
];
/// What engines note for themselves.
const NOTES: [&str; 10] = [
    "com.docker.",
    "io.docker.",
    "desktop.docker.io/",
    "io.kubernetes.",
    "io.cri-containerd",
    "containerd.io/",
    "nerdctl/",
    "io.podman.",
    "org.opencontainers.",
    "compose.",
];

/// A container, in Hubble's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// What runs it.
    pub engine: &'static str,
    /// The compose project or the pod's namespace; `None` is that of its engine.
    pub namespace: Option<String>,
    /// Its name, or that of its pod.
    pub pod_name: String,
    /// Its own name, also within a pod.
    pub container: String,
    /// More labels than these names, each with its source, sorted.
    pub labels: Vec<String>,
    /// Ports of the host that lead to it, sorted.
    pub published: Vec<Published>,
    /// Its addresses in networks of its engine.
    pub addresses: Vec<IpAddr>,
}

/// A port of the host behind which a container serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// IANA's number of the protocol: TCP, UDP or SCTP.
    pub protocol: u8,
    /// On the host.
    pub port: u16,
    /// Of the host; `None` is all of both families, unspecified all of one.
    pub address: Option<IpAddr>,
}

/// The number of a protocol by its name in the APIs of engines.
pub(super) fn protocol(name: &str) -> Option<u8> {
    match name {
        "tcp" => Some(6),
        "udp" => Some(17),
        "sctp" => Some(132),
        _ => None,
    }
}

impl Named {
    /// Namespace and name as the container's endpoint has them, of this user's or of
    /// the system's (`docs/who.md`).
    #[must_use]
    pub fn endpoint_name(&self, user: Option<u32>) -> (String, String) {
        let namespace = match user {
            Some(user) => format!("user-{user}"),
            None => self.namespace.clone().unwrap_or_else(|| self.engine.into()),
        };
        (namespace, self.pod_name.clone())
    }

    /// Whether a port or an address leads to it.
    pub(super) fn is_reached(&self) -> bool {
        !self.published.is_empty() || !self.addresses.is_empty()
    }

    /// Memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let namespace = self.namespace.as_ref().map_or(0, String::len);
        let labels = self
            .labels
            .iter()
            .map(|label| label.len() + size_of::<String>());
        let texts = namespace + self.pod_name.len() + self.container.len();
        let ports = size_of_val(&self.published[..]) + size_of_val(&self.addresses[..]);
        size_of::<Self>() + ports + texts + labels.sum::<usize>()
    }
}

/// A name as engines allow it.
pub(super) fn name(text: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    (first && text.len() <= LONGEST_NAME && text.chars().all(fits)).then(|| text.to_owned())
}

/// A namespace that passes for none of ours.
pub(super) fn namespace(engine: &str, wanted: &str) -> Option<String> {
    let wanted = name(wanted)?;
    let low = wanted.to_ascii_lowercase();
    let is_own = OWN_NAMESPACES.contains(&low.as_str()) || low.starts_with("user-");
    Some(match is_own {
        true => format!("{engine}.{wanted}"),
        false => wanted,
    })
}

/// One label of ours, if there is something to say.
pub(super) fn own_label(key: &str, value: &str) -> Option<String> {
    let fits = !value.is_empty() && value.len() <= LONGEST_VALUE && !value.contains(is_odd);
    fits.then(|| format!("{SOURCE}:{key}={value}"))
}

/// The labels that somebody gave a container or a pod.
pub(super) fn labels<'a>(
    source: &'a str,
    given: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = String> + 'a {
    let told = given
        .iter()
        .filter(|(key, value)| is_told(key) && value_fits(value));
    told.take(MOST_LABELS)
        .map(move |(key, value)| format!("{source}:{key}={value}"))
}

fn is_told(key: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
    !key.is_empty()
        && key.len() <= LONGEST_KEY
        && key.chars().all(is_plain)
        && !OWN_KEYS.contains(&key)
        && !NOTES.iter().any(|note| key.starts_with(note))
}

fn value_fits(value: &str) -> bool {
    value.len() <= LONGEST_VALUE && !value.contains(is_odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_engines_allow() {
        for good in ["api-1", "a.b_c", "_x", "9"] {
            assert_eq!(name(good).as_deref(), Some(good));
        }
        let long = "a".repeat(254);
        for bad in [
            "",
            "-a",
            ".a",
            "a/b",
            "a b",
            "a\u{1b}[2J",
            "ä",
            long.as_str(),
        ] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_namespace_cannot_pass_for_one_of_ours() {
        let of = |wanted| namespace("docker", wanted);
        assert_eq!(of("shop").unwrap(), "shop");
        assert_eq!(of("system").unwrap(), "docker.system");
        assert_eq!(of("System").unwrap(), "docker.System");
        assert_eq!(of("user-0").unwrap(), "docker.user-0");
        assert_eq!(of("podman").unwrap(), "docker.podman");
        assert_eq!(of("user").unwrap(), "user");
        assert_eq!(of("a/b"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn labels_cannot_pass_for_ours_and_are_bounded() {
        let given: BTreeMap<String, String> = [
            ("app", "web"),
            ("unit", "nginx.service"),
            ("sextant:unit", "nginx.service"),
            ("a=b", "c"),
            ("namespace", "system"),
            ("com.docker.compose.project", "shop"),
            ("team/part", "a=b"),
            ("clear", "\u{1b}[2J"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let told: Vec<String> = labels("docker", &given).collect();
        assert_eq!(told, ["docker:app=web", "docker:team/part=a=b"]);
        let many = (0..1000).map(|n| (format!("k{n:04}"), "v".into()));
        assert_eq!(labels("docker", &many.collect()).count(), MOST_LABELS);
        let long = BTreeMap::from([("a".to_owned(), "v".repeat(257))]);
        assert_eq!(labels("docker", &long).count(), 0);
    }
}
