//! Addresses and ids of a flow: binary when the text is canonical, else text.
//!
//! Hubble carries and compares them as text. The binary form is used only for
//! a text that it gives back to the letter, so nothing changes on the way.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// An IP address as the flow carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Address {
    /// No address.
    #[default]
    None,
    /// IPv4.
    V4([u8; 4]),
    /// IPv6.
    V6([u8; 16]),
    /// Any text that is not a canonical address.
    Text(Box<str>),
}

impl Address {
    /// From the text of a flow.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        if text.is_empty() {
            return Self::None;
        }
        match text.parse::<IpAddr>() {
            Ok(ip) if ip.to_string() == text => ip.into(),
            _ => Self::Text(text.into()),
        }
    }

    /// The text of a flow; empty for `None`.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::None => Cow::Borrowed(""),
            Self::Text(text) => Cow::Borrowed(text),
            Self::V4(octets) => Cow::Owned(Ipv4Addr::from(*octets).to_string()),
            Self::V6(octets) => Cow::Owned(Ipv6Addr::from(*octets).to_string()),
        }
    }

    /// The address, where it is canonical.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::V4(octets) => Some(IpAddr::from(*octets)),
            Self::V6(octets) => Some(IpAddr::from(*octets)),
            Self::None | Self::Text(_) => None,
        }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::V4(ip.octets()),
            IpAddr::V6(ip) => Self::V6(ip.octets()),
        }
    }
}

/// MAC addresses of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ethernet {
    /// Source and destination.
    Mac {
        /// Sender.
        source: [u8; 6],
        /// Receiver.
        destination: [u8; 6],
    },
    /// Source and destination as any other text.
    Text(Box<(String, String)>),
}

impl Ethernet {
    /// From the two texts of a flow.
    #[must_use]
    pub fn from_text(source: String, destination: String) -> Self {
        match (parse_mac(&source), parse_mac(&destination)) {
            (Some(source), Some(destination)) => Self::Mac {
                source,
                destination,
            },
            _ => Self::Text(Box::new((source, destination))),
        }
    }

    /// Source and destination as text.
    #[must_use]
    pub fn to_text(&self) -> (String, String) {
        match self {
            Self::Mac {
                source,
                destination,
            } => (mac_text(source), mac_text(destination)),
            Self::Text(both) => (both.0.clone(), both.1.clone()),
        }
    }
}

/// Lower-case colon form, as Go's `net.HardwareAddr` prints it.
fn mac_text(mac: &[u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0_u8; 6];
    let mut parts = text.split(':');
    for octet in &mut mac {
        *octet = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    (parts.next().is_none() && mac_text(&mac) == text).then_some(mac)
}

/// The id of a flow event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Uuid {
    /// No id.
    #[default]
    None,
    /// A UUID whose text is canonical.
    Binary([u8; 16]),
    /// Any other text.
    Text(Box<str>),
}

impl Uuid {
    /// From the text of a flow.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        if text.is_empty() {
            return Self::None;
        }
        match parse_uuid(text) {
            Some(bytes) => Self::Binary(bytes),
            None => Self::Text(text.into()),
        }
    }

    /// The text of a flow; empty for `None`.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::None => Cow::Borrowed(""),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Binary(bytes) => Cow::Owned(uuid_text(bytes)),
        }
    }
}

fn uuid_text(bytes: &[u8; 16]) -> String {
    let n = u128::from_be_bytes(*bytes);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        n >> 96,
        (n >> 80) & 0xffff,
        (n >> 64) & 0xffff,
        (n >> 48) & 0xffff,
        n & 0xffff_ffff_ffff
    )
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    if text.len() != 36 {
        return None;
    }
    let n = u128::from_str_radix(&text.replace('-', ""), 16).ok()?;
    let bytes = n.to_be_bytes();
    (uuid_text(&bytes) == text).then_some(bytes)
}
