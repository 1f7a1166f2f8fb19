//! What the daemon says of itself.

use std::time::Instant;

use crate::{config::Config, flow::Origin, service::About};

/// Name of the program in `Flow.emitter`.
const EMITTER: &str = "Sextant";

/// In each of its flows.
pub(super) fn origin(config: &Config) -> Origin {
    Origin {
        node_name: config.full_node_name(),
        node_labels: config.node_labels.clone(),
        emitter: Some((EMITTER.into(), env!("CARGO_PKG_VERSION").into())),
    }
}

/// For `ServerStatus` and its like.
pub(super) fn about(config: &Config) -> About {
    About {
        node_name: config.full_node_name(),
        version: env!("CARGO_PKG_VERSION").into(),
        version_header: config.server.version_header,
        started: Instant::now(),
        lost_event_interval: config.server.lost_event_interval,
    }
}
