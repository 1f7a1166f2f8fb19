//! What a collector of OpenTelemetry gets.

/// What a collector gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// A log event for each flow event.
    Logs,
    /// All metrics, again and again.
    Metrics,
    /// Spans.
    Traces,
}

/// What there are spans of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpansOf {
    /// Connections that ended.
    pub connections: bool,
    /// The daemon's own work: calls, changes of policies, what is read again.
    pub daemon: bool,
}

impl Default for SpansOf {
    /// Of connections alone.
    fn default() -> Self {
        Self {
            connections: true,
            daemon: false,
        }
    }
}

impl Signal {
    /// As OTLP names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Traces => "traces",
        }
    }
}
