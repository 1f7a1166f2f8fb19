//! A line of those who do something large one at a time; root's unix socket stands in one
//! of its own. What a peer has in it is bounded by its turns, which come first.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::listener::Caller;

/// The line; clones are the same.
#[derive(Clone, Debug)]
pub(in crate::service) struct Line([Arc<Semaphore>; 2]);

impl Default for Line {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Arc::new(Semaphore::new(1))))
    }
}

impl Line {
    /// Waits until nobody else is at it. It is never closed.
    pub(in crate::service) async fn place(&self, caller: &Caller) -> Option<OwnedSemaphorePermit> {
        let one = &self.0[usize::from(caller.is_root())];
        Arc::clone(one).acquire_owned().await.ok()
    }
}
