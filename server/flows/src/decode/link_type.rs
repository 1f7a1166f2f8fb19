//! Kinds of link, and the numbers that captures have for them (tcpdump's
//! registry of link-layer header types). Those that carry no IP are left out.

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Ethernet, with or without tags.
    Ethernet,
    /// Ethernet behind so many bytes (preamble, tag, header of a tap).
    EthernetBehind(u8),
    /// Ethernet with a tag of a switch chip, of so many bytes, before its type.
    EthernetSwitchTag(u8),
    /// An IP header, of either version.
    Ip,
    /// Linux cooked capture (`any` interface).
    Cooked,
    /// Linux cooked capture, version 2.
    Cooked2,
    /// An address family in 4 bytes, of either byte order (BSD loopback).
    Loopback,
    /// OpenBSD's encapsulating interface.
    Enc,
    /// Solaris' IPNET.
    IpNet,
    /// Linux' NFLOG.
    Nflog,
    /// What the BSDs' firewall pf logs.
    Pflog,
    /// PPP, with or without HDLC-like framing.
    Ppp,
    /// PPP of BSD/OS.
    PppBsdOs,
    /// PPP behind a byte that tells the direction.
    PppDirection,
    /// PPPoE of a session, without Ethernet.
    Pppoe,
    /// Cisco's HDLC, or PPP in HDLC-like framing.
    Hdlc,
    /// The same behind a byte that tells the direction.
    HdlcDirection,
    /// Frame relay.
    FrameRelay,
    /// Frame relay behind a byte that tells the direction.
    FrameRelayDirection,
    /// Amateur packet radio.
    Ax25,
    /// The same behind a byte of KISS.
    Ax25Kiss,
    /// SLIP.
    Slip,
    /// SLIP of BSD/OS.
    SlipBsdOs,
    /// ATM: RFC 2684 and Linux' classical IP.
    Atm,
    /// ATM behind Sun's pseudo-header.
    AtmSun,
    /// Token Ring (802.5).
    TokenRing,
    /// FDDI.
    Fddi,
    /// IP over Fibre Channel.
    FibreChannel,
    /// IP over InfiniBand.
    Infiniband,
    /// Apple's IP over IEEE 1394.
    Firewire,
    /// ARCNET.
    Arcnet,
    /// ARCNET as Linux captures it.
    ArcnetLinux,
    /// DOCSIS.
    Docsis,
    /// 802.11.
    Wireless,
    /// 802.11 behind radiotap.
    Radiotap,
    /// 802.11 behind Prism's header.
    Prism,
    /// 802.11 behind AVS's header.
    Avs,
    /// Per-packet information before a link of any other kind.
    Ppi,
    /// TaZmen's sniffer protocol before a link of another kind.
    Tzsp,
    /// Apple's PKTAP before a link of any other kind.
    Pktap,
    /// Juniper's header before a link.
    Juniper(JuniperLink),
    /// Endace's record header.
    Erf,
    /// Symantec's firewall.
    Symantec,
}

/// What is behind Juniper's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JuniperLink {
    /// Ethernet.
    Ethernet,
    /// PPP.
    Ppp,
    /// Cisco's HDLC.
    Hdlc,
    /// Frame relay.
    FrameRelay,
}

impl Link {
    /// The kind of link of a capture, by its number; `None` if it carries no IP
    /// or is not known.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            0 | 108 => Self::Loopback,
            1 => Self::Ethernet,
            3 => Self::Ax25,
            6 => Self::TokenRing,
            7 => Self::Arcnet,
            8 => Self::Slip,
            9 => Self::Ppp,
            10 => Self::Fddi,
            // 12 and 14 are what BSDs have for raw IP.
            12 | 14 | 101 | 228 | 229 => Self::Ip,
            50 | 104 => Self::Hdlc,
            51 => Self::Pppoe,
            99 => Self::Symantec,
            // 11 is what BSDs have for it.
            11 | 100 | 106 => Self::Atm,
            102 => Self::SlipBsdOs,
            103 => Self::PppBsdOs,
            105 => Self::Wireless,
            107 => Self::FrameRelay,
            109 => Self::Enc,
            113 => Self::Cooked,
            117 => Self::Pflog,
            119 => Self::Prism,
            122 => Self::FibreChannel,
            123 => Self::AtmSun,
            127 => Self::Radiotap,
            128 => Self::Tzsp,
            129 => Self::ArcnetLinux,
            138 => Self::Firewire,
            143 => Self::Docsis,
            163 => Self::Avs,
            166 | 204 => Self::PppDirection,
            167 | 178 => Self::Juniper(JuniperLink::Ethernet),
            179 => Self::Juniper(JuniperLink::Ppp),
            180 => Self::Juniper(JuniperLink::FrameRelay),
            181 => Self::Juniper(JuniperLink::Hdlc),
            192 => Self::Ppi,
            197 => Self::Erf,
            202 => Self::Ax25Kiss,
            205 => Self::HdlcDirection,
            206 => Self::FrameRelayDirection,
            226 => Self::IpNet,
            239 => Self::Nflog,
            240 | 282 => Self::EthernetBehind(4),
            241 => Self::EthernetBehind(12),
            242 => Self::Infiniband,
            258 => Self::Pktap,
            // Preambles, with a number of a link or a fragment in them.
            259 | 274 => Self::EthernetBehind(8),
            276 => Self::Cooked2,
            281 | 284 => Self::EthernetSwitchTag(4),
            285 => Self::EthernetSwitchTag(8),
            _ => return None,
        })
    }
}
