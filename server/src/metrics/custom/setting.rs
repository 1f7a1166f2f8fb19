//! What a custom metric is, and what may be one.

use std::{collections::BTreeMap, time::Duration};

use sextant_proto::flow::FlowFilter;
use thiserror::Error;

use super::field::Field;

/// Metrics at most; each looks at each flow.
pub(super) const MAX_METRICS: usize = 64;
/// Beginnings of names that are given already.
const TAKEN: [&str; 2] = ["sextant_", "hubble_"];
/// Endings that belong to parts of metrics.
const ENDINGS: [&str; 6] = ["_total", "_bucket", "_count", "_sum", "_created", "_info"];
/// Upper bounds of seconds, from within a host to long connections.
const SECONDS: [f64; 14] = [
    0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0, 3600.0,
];
/// Upper bounds of packets and bytes.
const SIZES: [f64; 10] = [1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomKind {
    /// Adds up.
    Counter,
    /// What the last event told.
    Gauge,
    /// How the values of flows that ended are spread.
    Histogram,
}

impl CustomKind {
    /// All of them, by their names in configurations.
    pub const ALL: [(&'static str, Self); 3] = [
        ("counter", Self::Counter),
        ("gauge", Self::Gauge),
        ("histogram", Self::Histogram),
    ];
}

/// What of a flow is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// Flow events.
    Flows,
    /// Packets.
    Packets,
    /// Bytes.
    Bytes,
    /// Packets that events of drops tell.
    DroppedPackets,
    /// Seconds from the first packet to the last.
    Duration,
    /// Seconds from the SYN of TCP to its answer.
    Handshake,
    /// Smoothed round-trip time in seconds, as a socket of this host knows it.
    RoundTrip,
}

impl Measured {
    /// All of them, by their names in configurations.
    pub const ALL: [(&'static str, Self); 7] = [
        ("flows", Self::Flows),
        ("packets", Self::Packets),
        ("bytes", Self::Bytes),
        ("dropped_packets", Self::DroppedPackets),
        ("duration", Self::Duration),
        ("handshake", Self::Handshake),
        ("rtt", Self::RoundTrip),
    ];

    /// Upper bounds unless they are given.
    #[must_use]
    pub fn buckets(self) -> Vec<f64> {
        match self {
            Self::Packets | Self::Bytes => SIZES.into(),
            _ => SECONDS.into(),
        }
    }
}

/// A metric.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomSetting {
    /// Its name, without the `_total` that counters get.
    pub name: String,
    /// What it tells, for people.
    pub help: String,
    /// What kind of metric it is.
    pub kind: CustomKind,
    /// What of a flow is counted.
    pub measured: Measured,
    /// Only these flows; none is all.
    pub allow: Vec<FlowFilter>,
    /// None of these.
    pub deny: Vec<FlowFilter>,
    /// Names of labels, and what they tell.
    pub labels: Vec<(String, Field)>,
    /// Upper bounds of a histogram, ascending.
    pub buckets: Vec<f64>,
    /// Series at most.
    pub max_series: usize,
    /// A series in which nothing was counted for so long is removed.
    pub idle: Duration,
}

/// Why there is no such metric.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CustomError {
    /// No name of a metric.
    #[error(
        "`{0}` is no name of a metric; write letters, digits and `_`, not with a digit first, such as `shop_requests`"
    )]
    Name(String),
    /// A name of others.
    #[error("`{name}` begins with `{taken}`, as metrics of sextantd do; take another beginning")]
    Taken {
        /// The name.
        name: String,
        /// Its beginning.
        taken: &'static str,
    },
    /// A name that a part of another metric might have.
    #[error("`{name}` ends with `{ending}`, as parts of metrics do; leave that away")]
    Ending {
        /// The name.
        name: String,
        /// Its ending.
        ending: &'static str,
    },
    /// No name of a label.
    #[error(
        "`{0}` is no name of a label; write letters, digits and `_`, not with a digit or `__` first"
    )]
    Label(String),
    /// A label that histograms have.
    #[error("a histogram has a label `le` of its own; take another name")]
    Le,
    /// A counter that would mean nothing.
    #[error(
        "a counter of `handshake` or `rtt` adds up what has no sum; write a gauge or a histogram"
    )]
    Counter,
    /// A gauge or a histogram of ones.
    #[error("`flows` and `dropped_packets` only add up; write a counter")]
    Ones,
    /// Buckets of what has none.
    #[error("only a histogram has `buckets`; leave them out")]
    NoBuckets,
    /// Buckets that are in no order.
    #[error("are not ascending; write each upper bound once, the least first")]
    Buckets,
    /// Two of one name.
    #[error("`{0}` is the name of a series of two custom metrics; rename one of them")]
    Twice(String),
    /// Too many.
    #[error(
        "there are {0} custom metrics, {MAX_METRICS} at most; take one with a label for several"
    )]
    Many(usize),
}

impl CustomSetting {
    /// Its name as queries have it.
    #[must_use]
    pub fn full_name(&self) -> String {
        match self.kind {
            CustomKind::Counter => format!("{}_total", self.name),
            _ => self.name.clone(),
        }
    }

    /// Whether its series go on under the other: they have the same labels, and count the
    /// same but for filters.
    pub(super) fn counts_as(&self, other: &Self) -> bool {
        self.name == other.name
            && self.kind == other.kind
            && self.measured == other.measured
            && self.labels == other.labels
            && self.buckets == other.buckets
    }

    /// Whether it looks at more than that there is a flow.
    pub(super) fn measures(&self) -> bool {
        self.measured != Measured::Flows
    }

    /// Whether it adds up what flows tell as totals.
    pub(super) fn adds_up(&self) -> bool {
        let is_size = matches!(self.measured, Measured::Packets | Measured::Bytes);
        is_size && self.kind == CustomKind::Counter
    }

    /// Whether its parts go together.
    ///
    /// # Errors
    ///
    /// The first that does not.
    pub fn check(&self) -> Result<(), CustomError> {
        let is_counter = self.kind == CustomKind::Counter;
        match self.measured {
            Measured::Handshake | Measured::RoundTrip if is_counter => {
                return Err(CustomError::Counter);
            }
            Measured::Flows | Measured::DroppedPackets if !is_counter => {
                return Err(CustomError::Ones);
            }
            _ => {}
        }
        if self.kind != CustomKind::Histogram {
            return match self.buckets.is_empty() {
                true => Ok(()),
                false => Err(CustomError::NoBuckets),
            };
        }
        if self.labels.iter().any(|(name, _)| name == "le") {
            return Err(CustomError::Le);
        }
        match self.buckets.is_sorted_by(|one, next| one < next) {
            true => Ok(()),
            false => Err(CustomError::Buckets),
        }
    }

    /// The names that it has on the page.
    fn names(&self) -> Vec<String> {
        let name = &self.name;
        let parts: &[&str] = match self.kind {
            CustomKind::Counter => &["", "_total"],
            CustomKind::Gauge => &[""],
            CustomKind::Histogram => &["", "_bucket", "_sum", "_count"],
        };
        parts.iter().map(|part| format!("{name}{part}")).collect()
    }
}

/// Whether the metrics go together: no name twice, and not too many.
///
/// # Errors
///
/// The place of the first that does not, and why.
pub fn check_custom(settings: &[CustomSetting]) -> Result<(), (usize, CustomError)> {
    if settings.len() > MAX_METRICS {
        return Err((MAX_METRICS, CustomError::Many(settings.len())));
    }
    let mut names = BTreeMap::new();
    for (at, setting) in settings.iter().enumerate() {
        for name in setting.names() {
            if names.insert(name.clone(), at).is_some() {
                return Err((at, CustomError::Twice(name)));
            }
        }
    }
    Ok(())
}

/// The name of a metric; a counter's without its `_total`.
///
/// # Errors
///
/// What is wrong with it.
pub fn metric_name(text: &str, kind: CustomKind) -> Result<String, CustomError> {
    let name = match kind {
        CustomKind::Counter => text.strip_suffix("_total").unwrap_or(text),
        _ => text,
    };
    if !is_name(name) {
        return Err(CustomError::Name(text.into()));
    }
    let name = name.to_owned();
    if let Some(taken) = TAKEN.into_iter().find(|taken| name.starts_with(taken)) {
        return Err(CustomError::Taken { name, taken });
    }
    match ENDINGS.into_iter().find(|ending| name.ends_with(ending)) {
        Some(ending) => Err(CustomError::Ending { name, ending }),
        None => Ok(name),
    }
}

/// The name of a label.
///
/// # Errors
///
/// It is none.
pub fn label_name(text: &str) -> Result<String, CustomError> {
    match is_name(text) && !text.starts_with("__") {
        true => Ok(text.to_owned()),
        false => Err(CustomError::Label(text.into())),
    }
}

/// As Prometheus has them; colons are for its own rules.
fn is_name(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(is_letter)
        && text.len() <= 200
        && text.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}
