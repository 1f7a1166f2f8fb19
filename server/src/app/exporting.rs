//! The threads that export, and the file that says which.

use std::sync::{Arc, OnceLock};

use tokio::task::JoinSet;

use crate::{
    config::Config,
    export::{Deaths, Exporters, Exports, FlowLogs, FlowLogsError, Lines, Source},
    metrics::Pages,
    reloaded::Reloaded,
    spans::Spans,
    store::Ring,
};

/// At work, whatever there is to export.
pub(super) struct Exporting {
    exporters: Exporters,
    deaths: Deaths,
    wanted: Reloaded<FlowLogs>,
    /// Nothing, as long as parts are missing that tell of themselves there.
    pages: Arc<OnceLock<Pages>>,
    /// Look at the file, and hand on what is new.
    _tasks: JoinSet<()>,
}

impl Exporting {
    /// Exports what is in the ring, from the first event on, and these spans.
    pub(super) fn start(config: &Config, ring: Ring, spans: &Spans) -> anyhow::Result<Self> {
        let pages = Arc::<OnceLock<Pages>>::default();
        let given = Arc::clone(&pages);
        let page = Arc::new(move || given.get().map(Pages::page).unwrap_or_default());
        let source = Source {
            ring: ring.clone(),
            node_name: config.full_node_name(),
            spans: spans.clone(),
            lines: Lines::default(),
        };
        let (exporters, deaths) = Exporters::new(source, page);
        let wanted = Reloaded::load(FlowLogs::new(config.exports.clone(), exporters.dynamic()))?;
        let mut news = wanted.subscribe();
        let first = news.borrow_and_update().clone();
        exporters.begin(&first)?;
        let applied = exporters.clone();
        let apply = async move {
            while news.changed().await.is_ok() {
                let wanted = news.borrow_and_update().clone();
                let applied = applied.clone();
                let changed = tokio::task::spawn_blocking(move || applied.change(&wanted));
                if let Ok(Err(error)) = changed.await {
                    tracing::warn!("not all exporters are at work: {error}");
                }
            }
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(apply);
        tasks.spawn(wanted.clone().watch());
        Ok(Self {
            exporters,
            deaths,
            wanted,
            pages,
            _tasks: tasks,
        })
    }

    /// Those who export metrics send these from now on.
    pub(super) fn send_pages(&self, pages: Pages) {
        // It is done once.
        let _ = self.pages.set(pages);
    }

    /// Takes the exporters of another configuration, and looks at its file.
    ///
    /// # Errors
    ///
    /// What is wrong with them; all stays as it was.
    pub(super) fn reload(&self, exports: &Exports) -> Result<(), FlowLogsError> {
        let dynamic = self.exporters.dynamic();
        self.wanted
            .replace(|_| FlowLogs::new(exports.clone(), dynamic))
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
