//! Protocols, ports and TCP flags.

use pb::layer7::Record;
use sextant_proto::flow as pb;

use super::{Checks, FilterError, PortError, Side, set::OneOf, text};
use crate::flow::{
    Flow, L4,
    proto::flags_from,
    sketch::{Application, Forbidden, Transport},
};

/// Wanted protocols, as bits.
#[derive(Clone, Copy, Debug, Default)]
struct Protocols(u16);

impl Protocols {
    const ICMP4: u16 = 1;
    const ICMP6: u16 = 1 << 1;
    const TCP: u16 = 1 << 2;
    const UDP: u16 = 1 << 3;
    const SCTP: u16 = 1 << 4;
    const VRRP: u16 = 1 << 5;
    const IGMP: u16 = 1 << 6;
    const DNS: u16 = 1 << 7;
    const HTTP: u16 = 1 << 8;

    fn compile(names: &[String]) -> Result<Self, FilterError> {
        let bits = names.iter().try_fold(0, |bits, name| {
            let bit = match text::to_lower(name).as_str() {
                "icmp" => Self::ICMP4 | Self::ICMP6,
                "icmpv4" => Self::ICMP4,
                "icmpv6" => Self::ICMP6,
                "tcp" => Self::TCP,
                "udp" => Self::UDP,
                "sctp" => Self::SCTP,
                "vrrp" => Self::VRRP,
                "igmp" => Self::IGMP,
                "dns" => Self::DNS,
                "http" => Self::HTTP,
                _ => return Err(FilterError::Protocol(name.clone())),
            };
            Ok(bits | bit)
        });
        bits.map(Self)
    }

    fn contains(self, flow: &Flow) -> bool {
        let transport = match &flow.l4 {
            Some(L4::Tcp { .. }) => Self::TCP,
            Some(L4::Udp { .. }) => Self::UDP,
            Some(L4::Icmp4 { .. }) => Self::ICMP4,
            Some(L4::Icmp6 { .. }) => Self::ICMP6,
            Some(L4::Sctp { .. }) => Self::SCTP,
            Some(L4::Vrrp { .. }) => Self::VRRP,
            Some(L4::Igmp { .. }) => Self::IGMP,
            Some(L4::Empty | L4::Other { .. }) | None => 0,
        };
        self.0 & transport != 0 || self.contains_application(flow)
    }

    /// A name of either layer finds flows by that layer alone.
    fn forbid_others(self, forbidden: &mut Forbidden) {
        let wanted = |bit: u16| self.0 & bit != 0;
        let applications = [
            (Self::DNS, Application::Dns),
            (Self::HTTP, Application::Http),
        ];
        let transports = [
            (Self::ICMP4, Transport::Icmp4),
            (Self::ICMP6, Transport::Icmp6),
            (Self::TCP, Transport::Tcp),
            (Self::UDP, Transport::Udp),
            (Self::SCTP, Transport::Sctp),
            (Self::VRRP | Self::IGMP, Transport::Other),
        ];
        let applications = applications.iter().filter(|(bit, _)| wanted(*bit));
        let applications: Vec<_> = applications.map(|(_, kind)| *kind).collect();
        let transports = transports.iter().filter(|(bit, _)| wanted(*bit));
        let transports: Vec<_> = transports.map(|(_, kind)| *kind).collect();
        if applications.is_empty() {
            forbidden.only_transports(&transports);
        } else if transports.is_empty() {
            forbidden.only_applications(&applications);
        }
    }

    fn contains_application(self, flow: &Flow) -> bool {
        if self.0 & (Self::DNS | Self::HTTP) == 0 {
            return false;
        }
        let application = match flow.l7().and_then(|l7| l7.record.as_ref()) {
            Some(Record::Dns(_)) => Self::DNS,
            Some(Record::Http(_)) => Self::HTTP,
            _ => 0,
        };
        self.0 & application != 0
    }
}

/// Compiles `protocol`.
pub(super) fn compile_protocol(
    filter: &pb::FlowFilter,
    checks: &mut Checks,
) -> Result<(), FilterError> {
    if !filter.protocol.is_empty() {
        let wanted = Protocols::compile(&filter.protocol)?;
        wanted.forbid_others(&mut checks.forbidden);
        checks.plain(move |flow| wanted.contains(flow));
    }
    Ok(())
}

/// Compiles `source_port` and `destination_port`. Ports of flows are cut to 16
/// bits, as upstream does.
pub(super) fn compile_ports(
    filter: &pb::FlowFilter,
    checks: &mut Checks,
) -> Result<(), FilterError> {
    for (side, texts) in [
        (Side::Source, &filter.source_port),
        (Side::Destination, &filter.destination_port),
    ] {
        if texts.is_empty() {
            continue;
        }
        let ports = texts.iter().map(|text| {
            parse_port(text).map_err(|reason| FilterError::Port {
                side,
                text: text.clone(),
                reason,
            })
        });
        let ports = ports.collect::<Result<Vec<u16>, _>>()?;
        match side {
            Side::Source => checks.forbidden.only_source_ports(&ports),
            Side::Destination => checks.forbidden.only_destination_ports(&ports),
        }
        let ports: OneOf<u16> = ports.into_iter().collect();
        checks.plain(move |flow| {
            let both = flow.l4.as_ref().and_then(L4::ports);
            both.is_some_and(|(source, destination)| match side {
                Side::Source => ports.contains(source as u16),
                Side::Destination => ports.contains(destination as u16),
            })
        });
    }
    Ok(())
}

/// Go's `strconv.ParseUint(text, 10, 16)`: digits only, leading zeros allowed.
/// The first mistake from the left counts.
fn parse_port(text: &str) -> Result<u16, PortError> {
    if text.is_empty() {
        return Err(PortError::Syntax);
    }
    text.bytes().try_fold(0_u16, |port, byte| {
        let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
        let digit = digit.ok_or(PortError::Syntax)?;
        let port = port
            .checked_mul(10)
            .and_then(|port| port.checked_add(digit));
        port.ok_or(PortError::Range)
    })
}

/// Compiles `tcp_flags`: an entry matches when all its flags are set.
pub(super) fn compile_tcp_flags(filter: &pb::FlowFilter, checks: &mut Checks) {
    if !filter.tcp_flags.is_empty() {
        let masks: Vec<u16> = filter
            .tcp_flags
            .iter()
            .map(|all| flags_from(all).0)
            .collect();
        checks.plain(move |flow| match &flow.l4 {
            Some(L4::Tcp {
                flags: Some(flags), ..
            }) => masks.iter().any(|mask| flags.contains(*mask)),
            _ => false,
        });
    }
}
