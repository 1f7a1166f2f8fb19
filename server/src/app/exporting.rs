//! The threads that export, and the file that says which.

use crate::{
    config::Config,
    export::{Deaths, Exporters},
    store::Ring,
};

/// At work, whatever there is to export.
pub(super) struct Exporting {
    exporters: Exporters,
    deaths: Deaths,
}

impl Exporting {
    /// Exports what is in the ring, from the first event on.
    pub(super) fn start(config: &Config, ring: Ring) -> anyhow::Result<Self> {
        let (exporters, deaths) = Exporters::new(ring, config.full_node_name());
        exporters.start_all(&config.exports)?;
        Ok(Self { exporters, deaths })
    }

    /// What is exported.
    pub(super) fn exporters(&self) -> Exporters {
        self.exporters.clone()
    }

    /// Waits until one ends, which none does by itself.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        let name = self.deaths.next().await;
        anyhow::anyhow!("the exporter `{name}` ended")
    }

    /// Writes what is stored by now, and ends.
    pub(super) async fn stop(self, deadline: tokio::time::Instant) {
        self.exporters.stop(deadline).await;
    }
}
