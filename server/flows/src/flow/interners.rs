//! One interner for each part of a flow that many flows share.

use super::{Endpoint, Interface, Interner, Names, Origin, Points, Process};

/// One interner for each interned part of a flow.
#[derive(Debug, Default)]
pub struct Interners {
    /// Endpoints of both sides.
    pub endpoints: Interner<Endpoint>,
    /// DNS name lists.
    pub names: Interner<Names>,
    /// Interfaces.
    pub interfaces: Interner<Interface>,
    /// Nodes and emitters.
    pub origins: Interner<Origin>,
    /// Observation points.
    pub points: Interner<Points>,
    /// Processes.
    pub processes: Interner<Process>,
    /// Summary texts and names of drop reasons.
    pub texts: Interner<String>,
}

impl Interners {
    /// Memory of all values, held or not yet swept; about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.endpoints.bytes
            + self.names.bytes
            + self.interfaces.bytes
            + self.origins.bytes
            + self.points.bytes
            + self.processes.bytes
            + self.texts.bytes
    }

    /// Forgets values that nothing holds.
    pub fn sweep(&mut self) {
        self.endpoints.sweep();
        self.names.sweep();
        // Points hold interfaces.
        self.points.sweep();
        self.interfaces.sweep();
        self.origins.sweep();
        self.processes.sweep();
        self.texts.sweep();
    }
}
