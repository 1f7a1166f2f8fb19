//! What is in a frame, however it was cut: a plain reading of its bytes, which
//! flows of dropped packets are compared with.

use std::net::IpAddr;

use sextant_proto::flow::{Flow, layer4::Protocol};

use crate::frame::{IPV4, IPV6};

const VLAN: [u16; 2] = [0x8100, 0x88a8];
const TCP: u8 = 6;
const UDP: u8 = 17;
const UDP_LITE: u8 = 136;
const SCTP: u8 = 132;

/// What can be told of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// Source MAC address.
    pub mac: String,
    /// Transport header.
    pub transport: Transport,
}

impl Told {
    /// Whether it is what the kernel sends of itself to find its neighbours.
    #[must_use]
    pub fn is_of_the_kernel(&self) -> bool {
        [self.source, self.destination]
            .iter()
            .any(|address| match address {
                IpAddr::V4(ip) => ip.is_multicast(),
                IpAddr::V6(ip) => ip.is_multicast() || ip.is_unicast_link_local(),
            })
    }
}

/// What can be told of a transport header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP with control bits, if they are there.
    Tcp(u16, u16, Option<u16>),
    /// UDP.
    Udp(u16, u16),
    /// SCTP.
    Sctp(u16, u16),
    /// ICMP of either version: type and code.
    Icmp(u8, u8),
    /// IGMP: the type.
    Igmp(u8),
    /// VRRP: version and type, id and priority.
    Vrrp(u8, u8, u8),
    /// Another, or not there.
    None,
}

/// What is in a frame with an Ethernet header; a cause if it has no IP header.
///
/// # Errors
///
/// The name of the cause that it is to be counted by.
pub fn read(frame: &[u8]) -> Result<Told, &'static str> {
    let mut at = 12;
    let mut ethertype = pair(frame, at).ok_or("drop_not_ip")?;
    while VLAN.contains(&ethertype) {
        at += 4;
        ethertype = pair(frame, at).ok_or("drop_not_ip")?;
    }
    let packet = frame.get(at + 2..).unwrap_or_default();
    let (source, destination, transport) = match ethertype {
        IPV4 => ipv4(packet)?,
        IPV6 => ipv6(packet)?,
        _ => return Err("drop_not_ip"),
    };
    let mac: Vec<String> = frame[6..12].iter().map(|b| format!("{b:02x}")).collect();
    Ok(Told {
        source,
        destination,
        mac: mac.join(":"),
        transport,
    })
}

type Read = (IpAddr, IpAddr, Transport);

fn ipv4(packet: &[u8]) -> Result<Read, &'static str> {
    let header: [u8; 20] = first(packet).ok_or("drop_truncated_header")?;
    let length = usize::from(header[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || length < 20 || total < length {
        return Err("drop_malformed_ip_header");
    }
    let address = |at: usize| -> IpAddr { first::<4>(&header[at..]).unwrap_or_default().into() };
    let is_later = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
    let payload = packet.get(length..total.min(packet.len()));
    let transport = match payload {
        Some(payload) if !is_later => transport(header[9], payload),
        _ => Transport::None,
    };
    Ok((address(12), address(16), transport))
}

fn ipv6(packet: &[u8]) -> Result<Read, &'static str> {
    let header: [u8; 40] = first(packet).ok_or("drop_truncated_header")?;
    if header[0] >> 4 != 6 {
        return Err("drop_malformed_ip_header");
    }
    let address = |at: usize| -> IpAddr { first::<16>(&header[at..]).unwrap_or([0; 16]).into() };
    let length = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
    let mut payload = &packet[40..length.min(packet.len())];
    let mut next = header[6];
    let mut headers = 0;
    let transport = loop {
        if ![0, 43, 44, 51, 60, 135, 139, 140].contains(&next) {
            break transport(next, payload);
        }
        let Some(extension) = first::<8>(payload).filter(|_| headers < 8) else {
            break Transport::None;
        };
        let length = match next {
            44 => 8,
            51 => (usize::from(extension[1]) + 2) * 4,
            _ => (usize::from(extension[1]) + 1) * 8,
        };
        let is_later = next == 44 && u16::from_be_bytes([extension[2], extension[3]]) & 0xfff8 != 0;
        next = extension[0];
        headers += 1;
        payload = payload.get(length..).unwrap_or_default();
        if is_later {
            break Transport::None;
        }
    };
    Ok((address(8), address(24), transport))
}

fn transport(protocol: u8, payload: &[u8]) -> Transport {
    let ports = pair(payload, 0).zip(pair(payload, 2));
    let bytes = |count: usize| payload.get(..count);
    let told = match protocol {
        TCP => ports.map(|(from, to)| {
            let flags = pair(payload, 12).map(|flags| flags & 0x1ff);
            Transport::Tcp(from, to, flags)
        }),
        UDP | UDP_LITE => ports.map(|(from, to)| Transport::Udp(from, to)),
        SCTP => ports.map(|(from, to)| Transport::Sctp(from, to)),
        1 | 58 => bytes(2).map(|bytes| Transport::Icmp(bytes[0], bytes[1])),
        2 => bytes(1).map(|bytes| Transport::Igmp(bytes[0])),
        112 => bytes(3).map(|bytes| Transport::Vrrp(bytes[0] & 15, bytes[1], bytes[2])),
        _ => None,
    };
    told.unwrap_or(Transport::None)
}

fn pair(bytes: &[u8], at: usize) -> Option<u16> {
    first(bytes.get(at..)?).map(u16::from_be_bytes)
}

fn first<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.get(..N)?.try_into().ok()
}

/// What a flow tells of its packet; `None` for one without addresses.
#[must_use]
pub fn told(flow: &Flow) -> Option<Told> {
    let ip = flow.ip.as_ref()?;
    let protocol = flow.l4.as_ref().and_then(|l4| l4.protocol.clone());
    let transport = match protocol {
        Some(Protocol::Tcp(tcp)) => {
            let flags = tcp.flags.map(|flags| {
                let bits = [
                    flags.fin, flags.syn, flags.rst, flags.psh, flags.ack, flags.urg, flags.ece,
                    flags.cwr, flags.ns,
                ];
                bits.iter()
                    .enumerate()
                    .fold(0, |all, (place, bit)| all | u16::from(*bit) << place)
            });
            Transport::Tcp(tcp.source_port as u16, tcp.destination_port as u16, flags)
        }
        Some(Protocol::Udp(udp)) => {
            Transport::Udp(udp.source_port as u16, udp.destination_port as u16)
        }
        Some(Protocol::Sctp(sctp)) => {
            Transport::Sctp(sctp.source_port as u16, sctp.destination_port as u16)
        }
        Some(Protocol::IcmPv4(icmp)) => Transport::Icmp(icmp.r#type as u8, icmp.code as u8),
        Some(Protocol::IcmPv6(icmp)) => Transport::Icmp(icmp.r#type as u8, icmp.code as u8),
        Some(Protocol::Igmp(igmp)) => Transport::Igmp(igmp.r#type as u8),
        Some(Protocol::Vrrp(vrrp)) => {
            Transport::Vrrp(vrrp.r#type as u8, vrrp.vrid as u8, vrrp.priority as u8)
        }
        None => Transport::None,
    };
    Some(Told {
        source: ip.source.parse().ok()?,
        destination: ip.destination.parse().ok()?,
        mac: flow
            .ethernet
            .as_ref()
            .map(|ethernet| ethernet.source.clone())
            .unwrap_or_default(),
        transport,
    })
}
