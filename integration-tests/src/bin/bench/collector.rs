//! A web server that takes all that is posted to it, and notes how late the oldest flow of
//! each request of JSON lines is. Bound: what it notes is a number a request.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
};
use prost_types::Timestamp;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::feed::now_ns;

/// The server; it ends with this.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    late_ms: Arc<Mutex<Vec<f64>>>,
    task: JoinHandle<()>,
}

impl Collector {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let late_ms = Arc::new(Mutex::new(Vec::new()));
        let routes = Router::new()
            .fallback(take)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&late_ms));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self {
            address,
            late_ms,
            task,
        })
    }

    /// What came before does not count.
    pub(crate) fn forget(&self) {
        self.late().clear();
    }

    /// Of the oldest flow of each request; NaN where none came.
    pub(crate) fn p99_late_ms(&self) -> f64 {
        let mut late = self.late().clone();
        late.sort_unstable_by(f64::total_cmp);
        late.get(late.len() * 99 / 100).copied().unwrap_or(f64::NAN)
    }

    fn late(&self) -> std::sync::MutexGuard<'_, Vec<f64>> {
        self.late_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(late_ms): State<Arc<Mutex<Vec<f64>>>>, body: Bytes) {
    // Flows of the corpus are of long ago.
    const LONG_AGO: f64 = 60_000.0;
    let late = offered_at(&body).map(|at| now_ns().saturating_sub(at) as f64 / 1e6);
    if let Some(late) = late.filter(|late| *late < LONG_AGO) {
        let mut all = late_ms.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(late);
    }
}

/// The time of the first flow of JSON lines.
fn offered_at(body: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"time\":\"";
    let line = body.split(|byte| *byte == b'\n').next()?;
    let at = line.windows(KEY.len()).position(|part| part == KEY)? + KEY.len();
    let text = line[at..].split(|byte| *byte == b'"').next()?;
    let time: Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(time.seconds as u64 * 1_000_000_000 + time.nanos as u64)
}
