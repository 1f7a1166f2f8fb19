//! What the rows of `top` stand for.

use clap::ValueEnum;
use sextant_proto::sextant::flow::v1::FlowField;

/// A view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum View {
    /// By addresses of client and server, the server's port and protocol.
    #[default]
    Flows,
    /// By endpoints of client and server.
    Endpoints,
    /// By the server's port and protocol.
    Ports,
    /// By reason of drops, and addresses.
    Drops,
    /// By processes of client and server.
    #[value(alias = "process")]
    Processes,
    /// By systemd units of client and server.
    #[value(alias = "unit")]
    Units,
    /// By containers of client and server.
    #[value(alias = "container")]
    Containers,
    /// As flows, by TCP segments that were sent again.
    Retrans,
}

impl View {
    /// Title.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Flows => "Flows",
            Self::Endpoints => "Endpoints",
            Self::Ports => "Ports",
            Self::Processes => "Processes",
            Self::Units => "Units",
            Self::Containers => "Containers",
            Self::Drops => "Drops",
            Self::Retrans => "Flows",
        }
    }

    /// What rows are grouped by; both directions of a connection are one group.
    pub(super) fn fields(self) -> &'static [FlowField] {
        match self {
            Self::Flows | Self::Retrans => &[
                FlowField::ClientIp,
                FlowField::ServerIp,
                FlowField::ServerPort,
                FlowField::Protocol,
            ],
            Self::Endpoints => &[FlowField::ClientEndpoint, FlowField::ServerEndpoint],
            Self::Ports => &[FlowField::ServerPort, FlowField::Protocol],
            Self::Processes => &[
                FlowField::ClientProcess,
                FlowField::ServerProcess,
                FlowField::ServerPort,
            ],
            Self::Units => &[
                FlowField::ClientUnit,
                FlowField::ServerUnit,
                FlowField::ServerPort,
            ],
            Self::Containers => &[
                FlowField::ClientContainer,
                FlowField::ServerContainer,
                FlowField::ServerPort,
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
            Self::Flows | Self::Retrans => &["CLIENT", "SERVER", "PORT", "PROTO"],
            Self::Endpoints => &["CLIENT", "SERVER"],
            Self::Ports => &["PORT", "PROTO"],
            Self::Processes | Self::Units | Self::Containers => &["CLIENT", "SERVER", "PORT"],
            Self::Drops => &["REASON", "SOURCE", "DESTINATION", "PORT"],
        }
    }
}
