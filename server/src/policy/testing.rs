//! Policies and what enforces them, for tests.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use sextant_policy::document::{self, Written};

use super::enforce::{Cost, Enforce, EnforceError, Hit, Proposed, Unconfirmed};

/// A policy that lets TCP to a port in.
pub(crate) fn written(name: &str, port: u16) -> Written {
    let text = text(name, port);
    document::written(&text).unwrap().remove(0)
}

/// The document of `written`.
pub(crate) fn text(name: &str, port: u16) -> String {
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  endpointSelector: {{matchLabels: {{app: web}}}}\n  ingress:\n  - toPorts:\n    \
         - ports: [{{port: \"{port}\", protocol: TCP}}]\n"
    )
}

/// Keeps what it was given, and refuses if it is told to.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// What is in force.
    pub(crate) sets: Mutex<Vec<Proposed>>,
    /// What comes back by itself.
    pub(crate) behind: Mutex<Option<Proposed>>,
    /// It cannot be put in force.
    pub(crate) fails: AtomicBool,
    /// It does not fit.
    pub(crate) refuses: AtomicBool,
    /// The set before came back by itself.
    pub(crate) is_back: AtomicBool,
}

impl Kept {
    /// Revision and number of policies of each set that was put in force.
    pub(crate) fn seen(&self) -> Vec<(u64, usize)> {
        let sets = self.sets.lock().unwrap();
        let seen = sets.iter().map(|set| (set.revision, set.policies.len()));
        seen.collect()
    }

    /// Revision of the set that comes back by itself.
    pub(crate) fn behind(&self) -> Option<u64> {
        let behind = self.behind.lock().unwrap();
        behind.as_ref().map(|set| set.revision)
    }
}

impl Enforce for Kept {
    fn check(&self, set: &Proposed) -> Result<Cost, EnforceError> {
        if self.refuses.load(Relaxed) {
            return Err(EnforceError::Kernel("it does not fit".into()));
        }
        Ok(Cost {
            entries: set.policies.len() as u64,
            ..Cost::default()
        })
    }

    fn activate(
        &self,
        set: &Proposed,
        unconfirmed: Option<&Unconfirmed>,
    ) -> Result<Cost, EnforceError> {
        if self.fails.load(Relaxed) {
            return Err(EnforceError::Kernel("the kernel has no room".into()));
        }
        self.is_back.store(false, Relaxed);
        self.sets.lock().unwrap().push(set.clone());
        *self.behind.lock().unwrap() = unconfirmed.map(|behind| behind.before.clone());
        Ok(Cost {
            entries: set.policies.len() as u64,
            ..Cost::default()
        })
    }

    fn went_back(&self) -> bool {
        self.is_back.load(Relaxed)
    }

    fn confirmed(&self) {
        *self.behind.lock().unwrap() = None;
    }

    fn hits(&self) -> Vec<Hit> {
        Vec::new()
    }
}
