//! What the numbers mean that the kernel hands back with a flow: reasons of verdicts.

use std::sync::{Arc, PoisonError, RwLock};

use sextant_ebpf_common::policy::{Decision, reason_of};
use sextant_policy::compile::{Because, Reasons};

/// The reasons of this daemon; clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Verdicts(Arc<RwLock<Reasons>>);

impl Verdicts {
    /// Why a decision is so; `None` where no policy said anything.
    #[must_use]
    pub fn because(&self, decision: Decision) -> Option<Because> {
        let number = reason_of(decision);
        if number == 0 {
            return None;
        }
        let reasons = self.0.read().unwrap_or_else(PoisonError::into_inner);
        reasons.get(number).cloned()
    }

    /// To change them.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Reasons) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}
