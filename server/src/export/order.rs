//! What an exporter is to do, and from which event on: those that change together do so at
//! the same one, however far each has read, so that what one leaves to another is exported
//! once.
//!
//! Bound: `MOST` orders that were not taken; of an exporter so far behind the oldest go.

use std::{
    collections::VecDeque,
    sync::{Arc, RwLock},
};

use tokio::sync::watch;

use super::setting::Setting;

/// Held by who takes orders and then reads; by who gives orders, so that nobody has read
/// beyond the event from which they count.
pub(super) type Gate = Arc<RwLock<()>>;

/// Orders that are kept for who has not taken them.
pub(super) const MOST: usize = 64;

/// Before the event of this number: as the orders before say.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// As this says from that event on.
    Export(Arc<Setting>, u64),
    /// To end there; or, where none has that number yet, with what is stored by now.
    End(u64),
}

/// The orders that were given.
#[derive(Debug)]
pub(super) struct Given {
    orders: VecDeque<Order>,
    /// How many there were before those.
    before: u64,
}

impl Given {
    /// The first one, which its exporter has from its beginning.
    pub(super) fn first(setting: &Setting, begin: u64) -> Self {
        let first = Order::Export(Arc::new(setting.clone()), begin);
        Self {
            orders: VecDeque::from([first]),
            before: 0,
        }
    }

    pub(super) fn give(&mut self, order: Order) {
        if self.orders.len() == MOST {
            self.orders.pop_front();
            self.before += 1;
        }
        self.orders.push_back(order);
    }

    /// What the last one says; none where that is to end.
    pub(super) fn last(&self) -> Option<&Setting> {
        match self.orders.back()? {
            Order::Export(setting, _) => Some(setting),
            Order::End(_) => None,
        }
    }
}

/// The orders of one who takes them.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    given: watch::Receiver<Given>,
    taken: u64,
    gate: Gate,
}

impl Orders {
    /// Those after the first.
    pub(super) fn new(given: watch::Receiver<Given>, gate: Gate) -> Self {
        Self {
            given,
            taken: 1,
            gate,
        }
    }

    pub(super) fn gate(&self) -> Gate {
        Arc::clone(&self.gate)
    }

    /// Those that were not taken yet.
    pub(super) fn take(&mut self) -> Vec<Order> {
        let given = self.given.borrow_and_update();
        let known = self.taken.saturating_sub(given.before) as usize;
        let orders: Vec<_> = given.orders.iter().skip(known).cloned().collect();
        self.taken = given.before + given.orders.len() as u64;
        orders
    }

    /// Waits for others, which are still to be taken then.
    pub(super) async fn changed(&mut self) {
        if self.given.changed().await.is_ok() {
            self.given.mark_changed();
        }
    }

    /// Whether the last one is to end.
    pub(super) fn are_over(&self) -> bool {
        self.given.borrow().last().is_none()
    }
}
