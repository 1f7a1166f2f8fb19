//! What the rows of `top` stand for, and what is asked for to get them.

use clap::ValueEnum;
use sextant_proto::sextant::flow::v1::FlowField;

/// A view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum View {
    /// By addresses of client and server, and the server's port.
    #[default]
    Flows,
    /// By endpoints of client and server.
    Endpoints,
    /// By the server's port and protocol.
    Ports,
    /// By reason of drops, and addresses.
    Drops,
}

impl View {
    /// Title.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Flows => "Flows",
            Self::Endpoints => "Endpoints",
            Self::Ports => "Ports",
            Self::Drops => "Drops",
        }
    }

    /// What the server groups by; `pairs` joins the two directions.
    pub(super) fn asked(self) -> &'static [FlowField] {
        match self {
            Self::Flows => &[
                FlowField::SourceIp,
                FlowField::DestinationIp,
                FlowField::SourcePort,
                FlowField::DestinationPort,
            ],
            Self::Endpoints => &[
                FlowField::SourceEndpoint,
                FlowField::DestinationEndpoint,
                FlowField::SourcePort,
                FlowField::DestinationPort,
            ],
            Self::Ports => &[
                FlowField::SourcePort,
                FlowField::DestinationPort,
                FlowField::Protocol,
            ],
            Self::Drops => &[
                FlowField::DropReason,
                FlowField::SourceIp,
                FlowField::DestinationIp,
                FlowField::DestinationPort,
            ],
        }
    }

    /// Heads of the fields' columns.
    pub(super) fn heads(self) -> &'static [&'static str] {
        match self {
            Self::Flows => &["CLIENT", "SERVER", "PORT"],
            Self::Endpoints => &["CLIENT", "SERVER"],
            Self::Ports => &["PORT", "PROTO"],
            Self::Drops => &["REASON", "SOURCE", "DESTINATION", "PORT"],
        }
    }
}
