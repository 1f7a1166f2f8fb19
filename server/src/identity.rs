//! Who is behind an address: reserved identities and endpoints from providers.
//!
//! A provider contributes to a snapshot, which is swapped whole when anything
//! changes. The packet path reads the snapshot and never waits. Providers that
//! come first win where two claim the same address.

mod host;
mod inventory;
mod news;
mod numbers;
mod snapshot;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

pub use host::Host;
pub use inventory::Inventory;
pub use news::News;
pub use numbers::{Damage, NumberCounts, Numbers};
pub use snapshot::{Draft, NamedPorts, Snapshot};

/// Reserved numeric identities (Cilium's).
pub mod reserved {
    /// This host.
    pub const HOST: u32 = 1;
    /// Outside of what is known.
    pub const WORLD: u32 = 2;
    /// Another node of the cluster.
    pub const REMOTE_NODE: u32 = 6;
    /// The same as `WORLD`, for IPv4 where families are told apart.
    pub const WORLD_IPV4: u32 = 9;
    /// The same, for IPv6.
    pub const WORLD_IPV6: u32 = 10;
    /// The first number for label sets.
    pub const FIRST_CLUSTER: u32 = 256;
}

/// A source of endpoints. It says what it knows at this moment; whoever runs
/// it calls `Identities::refresh` when that changed.
pub trait Provider: Send + Sync {
    /// Adds what it knows to the draft of a snapshot.
    fn contribute(&self, draft: &mut Draft<'_>);
}

/// The providers and the snapshot made of them.
pub struct Identities {
    providers: Vec<Box<dyn Provider>>,
    numbers: Mutex<Numbers>,
    current: Arc<ArcSwap<Snapshot>>,
    version: watch::Sender<u64>,
    world_by_family: bool,
}

impl Identities {
    /// Takes a first snapshot of the providers, the earlier winning.
    #[must_use]
    pub fn new(providers: Vec<Box<dyn Provider>>, numbers: Numbers, world_by_family: bool) -> Self {
        let identities = Self {
            providers,
            numbers: Mutex::new(numbers),
            current: Arc::default(),
            version: watch::Sender::new(0),
            world_by_family,
        };
        identities.refresh();
        identities
    }

    /// The snapshot, for readers.
    #[must_use]
    pub fn snapshot(&self) -> Arc<ArcSwap<Snapshot>> {
        Arc::clone(&self.current)
    }

    /// Changes whenever the snapshot does.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// What became of label sets.
    #[must_use]
    pub fn counts(&self) -> NumberCounts {
        let numbers = self.numbers.lock();
        numbers.unwrap_or_else(PoisonError::into_inner).counts()
    }

    /// The stable number of a label set (sorted `source:key=value`); kept with the
    /// next `save`.
    #[must_use]
    pub fn number(&self, labels: &[String]) -> u32 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.of(labels)
    }

    /// Keeps numbers that are new.
    pub fn save(&self) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.save();
    }

    /// Asks all providers again and swaps the snapshot.
    pub fn refresh(&self) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = self.current.load_full();
        let mut draft = Draft::new(&mut numbers, &previous, self.world_by_family);
        for provider in &self.providers {
            provider.contribute(&mut draft);
        }
        self.current.store(Arc::new(draft.finish()));
        self.version.send_modify(|version| *version += 1);
    }
}
