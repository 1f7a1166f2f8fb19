//! This host's addresses, from netlink.

use tokio::sync::watch;

use super::{Draft, Provider};
use crate::datapath::Links;

/// Contributes the addresses of all interfaces.
pub struct Host {
    links: watch::Receiver<Links>,
}

impl Host {
    /// Follows `links`.
    #[must_use]
    pub fn new(links: watch::Receiver<Links>) -> Self {
        Self { links }
    }
}

impl Provider for Host {
    fn contribute(&self, draft: &mut Draft<'_>) {
        for address in &self.links.borrow().addresses {
            draft.host(*address);
        }
    }
}
