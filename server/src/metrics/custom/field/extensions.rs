//! What labels tell of the extensions of a flow: from its counters, or from what it came with.

use sextant_flows::extensions::find;

use super::side::Side;
use crate::{
    flow::{Flow, Interned, Process},
    metrics::labels::Labels,
};

/// A key of the extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfExtensions {
    EndReason,
    KernelDropReason,
    NetworkNamespace,
    ResetBy,
    Process(Side, OfProcess),
}

/// A key of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfProcess {
    Name,
    Exe,
    Unit,
    Container,
    User,
}

pub(super) const OF_EXTENSIONS: [(&str, OfExtensions); 14] = [
    ("end_reason", OfExtensions::EndReason),
    ("kernel_drop_reason", OfExtensions::KernelDropReason),
    ("network_namespace", OfExtensions::NetworkNamespace),
    ("tcp.reset_by", OfExtensions::ResetBy),
    (
        "source_process.name",
        OfExtensions::Process(Side::Source, OfProcess::Name),
    ),
    (
        "source_process.exe",
        OfExtensions::Process(Side::Source, OfProcess::Exe),
    ),
    (
        "source_process.unit",
        OfExtensions::Process(Side::Source, OfProcess::Unit),
    ),
    (
        "source_process.container_name",
        OfExtensions::Process(Side::Source, OfProcess::Container),
    ),
    (
        "source_process.user",
        OfExtensions::Process(Side::Source, OfProcess::User),
    ),
    (
        "destination_process.name",
        OfExtensions::Process(Side::Destination, OfProcess::Name),
    ),
    (
        "destination_process.exe",
        OfExtensions::Process(Side::Destination, OfProcess::Exe),
    ),
    (
        "destination_process.unit",
        OfExtensions::Process(Side::Destination, OfProcess::Unit),
    ),
    (
        "destination_process.container_name",
        OfExtensions::Process(Side::Destination, OfProcess::Container),
    ),
    (
        "destination_process.user",
        OfExtensions::Process(Side::Destination, OfProcess::User),
    ),
];

/// Puts the value of a key, by its path and as it is known.
pub(super) fn put(path: &str, of: OfExtensions, flow: &Flow, labels: &mut Labels) {
    let given = flow.cold.as_ref().and_then(|cold| cold.extensions.as_ref());
    if let Some(any) = given {
        // They replace the counters.
        let keys: Vec<&str> = path.split('.').collect();
        let value = find(any, &keys);
        labels.value(value.and_then(|value| value.text()).unwrap_or_default());
        return;
    }
    let Some(counters) = flow.counters.as_deref() else {
        return labels.end();
    };
    labels.value(match of {
        OfExtensions::EndReason => counters.end.map_or("", |end| end.name()),
        OfExtensions::KernelDropReason => {
            let reason = counters.kernel_drop_reason.as_deref();
            reason.map_or("", String::as_str)
        }
        OfExtensions::NetworkNamespace => {
            let interface = flow.interface.as_ref();
            interface.map_or("", |interface| &interface.namespace)
        }
        OfExtensions::ResetBy => {
            let by = counters.tcp.as_ref().and_then(|tcp| tcp.reset_by);
            by.map_or("", |by| by.name())
        }
        OfExtensions::Process(side, of) => {
            let process = match side {
                Side::Source => &counters.source_process,
                Side::Destination => &counters.destination_process,
            };
            process.as_ref().map_or("", |process| of.of(process))
        }
    });
}

impl OfProcess {
    fn of(self, process: &Interned<Process>) -> &str {
        match self {
            Self::Name => &process.name,
            Self::Exe => &process.exe,
            Self::Unit => &process.unit,
            Self::Container => &process.container_name,
            Self::User => &process.user,
        }
    }
}
