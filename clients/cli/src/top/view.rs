//! What the rows of `top` stand for.

use clap::ValueEnum;
use sextant_proto::sextant::flow::v1::FlowField;

/// A view; its fields are those that rows are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum View {
    /// By addresses, port and protocol.
    #[default]
    Flows,
    /// By endpoints.
    Endpoints,
    /// By port and protocol.
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

    pub(super) fn fields(self) -> &'static [FlowField] {
        match self {
            Self::Flows => &[
                FlowField::SourceIp,
                FlowField::DestinationIp,
                FlowField::DestinationPort,
                FlowField::Protocol,
            ],
            Self::Endpoints => &[FlowField::SourceEndpoint, FlowField::DestinationEndpoint],
            Self::Ports => &[FlowField::DestinationPort, FlowField::Protocol],
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
            Self::Flows => &["SOURCE", "DESTINATION", "PORT", "PROTO"],
            Self::Endpoints => &["SOURCE", "DESTINATION"],
            Self::Ports => &["PORT", "PROTO"],
            Self::Drops => &["REASON", "SOURCE", "DESTINATION", "PORT"],
        }
    }
}
