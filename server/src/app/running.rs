//! The daemon at work: what of it fails, is read again, and how it stops.

use std::time::Duration;

use super::{App, agent_events, lock, serving::set_serving};
use crate::{config::Config, export, listener::Bound};

/// How long an end waits for exporters: after all others, which they export.
const EXPORT_PATIENCE: Duration = Duration::from_secs(5);

impl App {
    /// The addresses that are listened on.
    #[must_use]
    pub fn addresses(&self) -> &[Bound] {
        self.serving.addresses()
    }

    /// Listeners that others than this host reach, in plaintext.
    #[must_use]
    pub fn open_addresses(&self) -> Vec<String> {
        self.config.server.open_listeners()
    }

    /// Where the metrics are, if they are on.
    #[must_use]
    pub fn metrics_url(&self) -> Option<String> {
        let address = self.serving.metrics_address()?;
        let scheme = match self.config.metrics_tls {
            Some(_) => "https",
            None => "http",
        };
        Some(format!("{scheme}://{address}/metrics"))
    }

    /// Waits until a part ends that should go on, and tells which.
    pub async fn failed(&mut self) -> anyhow::Error {
        let datapath = async {
            match &mut self.datapath {
                Some(datapath) => datapath.failed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = datapath => error,
            error = self.counting.failed() => error,
            error = self.exporting.failed() => error,
            error = self.kubernetes.failed() => error,
            error = self.serving.failed() => error,
            error = self.overhead.failed() => error.into(),
        }
    }

    /// Takes from a new configuration what can change at work, and tells what
    /// can't.
    ///
    /// # Errors
    ///
    /// A group, a token or an exporter of the new one that is of no use; all stays as it was.
    pub fn reload(&mut self, config: Config) -> anyhow::Result<()> {
        export::try_exports(&config.exports)?;
        self.rules.change(&config.access)?;
        let before = &self.config.identity.endpoints;
        let events = agent_events::changes(before, &config.identity.endpoints);
        self.inventory.replace(config.identity.endpoints.clone());
        self.identities.refresh();
        for event in events {
            lock(&self.pipeline).tell(event);
        }
        self.serving.reload();
        self.peers.reload();
        self.counting.reload(&config.custom);
        self.config.custom = config.custom.clone();
        if self.config.kubernetes != config.kubernetes {
            self.kubernetes.reload(&config.kubernetes);
            self.config.kubernetes = config.kubernetes.clone();
        }
        match self.exporting.reload(&config.exports) {
            Ok(()) => self.config.exports = config.exports.clone(),
            Err(error) => tracing::warn!("exporters not read again, as before: {error}"),
        }
        self.config.identity.endpoints = config.identity.endpoints.clone();
        self.config.access = config.access.clone();
        tracing::info!(
            endpoints = self.config.identity.endpoints.len(),
            grants = self.config.access.grants.len(),
            tokens = self.config.access.tokens.len(),
            "configuration read again"
        );
        let others = self.config.differences(&config);
        if !others.is_empty() {
            tracing::warn!(
                settings = others.join(", "),
                "changed settings that need a restart; as before until then"
            );
        }
        Ok(())
    }

    /// Stops: not ready, detached, streams ended, sockets gone.
    ///
    /// # Errors
    ///
    /// When the server had failed, or something did not end in time.
    pub async fn stop(self) -> anyhow::Result<()> {
        set_serving(&self.health, false).await;
        self.ready.send_replace(false);
        let deadline = tokio::time::Instant::now() + self.config.server.drain_timeout;
        if let Some(datapath) = self.datapath {
            let stopped = tokio::time::timeout_at(deadline, datapath.stop());
            if stopped.await.is_err() {
                // Where grace periods are long and interfaces many.
                tracing::warn!(
                    "programs are still being detached at the deadline; the kernel goes on with it as the process ends"
                );
            }
        }
        self.draining.send_replace(true);
        let drained = self.serving.drained(deadline).await;
        self.counting.join().await;
        self.exporting
            .stop(tokio::time::Instant::now() + EXPORT_PATIENCE)
            .await;
        let audit = self.audit;
        let closed = tokio::task::spawn_blocking(move || audit.close());
        if closed.await.is_err() {
            tracing::warn!("the audit log could not be closed");
        }
        drained
    }
}
