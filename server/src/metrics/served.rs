//! Metrics by HTTP.
//!
//! A page takes milliseconds of a CPU, or a hundred where series are many, and anybody may
//! ask. So one is made at a time, whoever waits for it gets it, and the next one comes only
//! after a rest: pages take a fifth of a CPU at most. Bound: what waits is a call of an open
//! connection, and goes with it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::middleware::from_fn_with_state;
use bytes::Bytes;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::{Pages, plain};
use crate::{audit::Log, listener::Hosts, service::pages as refused_pages};

/// Of its own time a page is followed by so many without one; but never by more than this.
const RESTS: u32 = 4;
const LONGEST_REST: Duration = Duration::from_secs(1);

/// The page at `/metrics`; `/livez`, which says that somebody answers, and `/readyz`, whether the
/// server does. Who is refused them is in the log.
pub fn router(pages: Pages, log: Log, hosts: Hosts, ready: watch::Receiver<bool>) -> axum::Router {
    let served = Served {
        pages,
        last: Arc::default(),
    };
    let page = axum::routing::get(move |headers: http::HeaderMap| async move {
        let accepts = headers.get_all(http::header::ACCEPT).iter();
        let accepts: Vec<_> = accepts.filter_map(|accept| accept.to_str().ok()).collect();
        let is_plain = plain::is_wanted(&accepts.join(","));
        let kind = if is_plain { PLAIN } else { OPEN_METRICS };
        let text = served.page(is_plain).await;
        let text = text.ok_or(http::StatusCode::INTERNAL_SERVER_ERROR)?;
        Ok::<_, http::StatusCode>(([(http::header::CONTENT_TYPE, kind)], text))
    });
    axum::Router::new()
        .route("/metrics", page)
        .route("/livez", axum::routing::get(|| async { "ok\n" }))
        .route(
            "/readyz",
            axum::routing::get(move || readiness(ready.clone())),
        )
        .layer(from_fn_with_state(hosts, Hosts::check))
        .layer(from_fn_with_state(log, refused_pages))
}

async fn readiness(ready: watch::Receiver<bool>) -> (http::StatusCode, &'static str) {
    match *ready.borrow() {
        true => (http::StatusCode::OK, "ok\n"),
        false => (http::StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Pages for whoever asks.
#[derive(Clone)]
struct Served {
    pages: Pages,
    last: Arc<Mutex<Option<Made>>>,
}

/// A page.
struct Made {
    begun: Instant,
    ended: Instant,
    open: Bytes,
    /// The same for old readers, if one asked.
    plain: Option<Bytes>,
}

impl Served {
    /// A page that was begun after the call, in one of its forms; none where making it
    /// failed.
    async fn page(&self, is_plain: bool) -> Option<Bytes> {
        let asked = Instant::now();
        let last = Arc::clone(&self.last).lock_owned().await;
        if let Some(made) = &*last {
            // Somebody else waited for it too.
            let made_since = Some(made).filter(|made| made.begun >= asked);
            if let Some(text) = made_since.and_then(|made| made.text(is_plain)) {
                return Some(text);
            }
            tokio::time::sleep_until((made.ended + made.rest()).into()).await;
        }
        let pages = self.pages.clone();
        // Who asked may go meanwhile, and the next one has to wait all the same.
        let made = tokio::task::spawn_blocking(move || make(&pages, is_plain, last)).await;
        made.ok()?.as_ref()?.text(is_plain)
    }
}

impl Made {
    fn text(&self, is_plain: bool) -> Option<Bytes> {
        match is_plain {
            true => self.plain.clone(),
            false => Some(self.open.clone()),
        }
    }

    fn rest(&self) -> Duration {
        let took = self.ended.saturating_duration_since(self.begun);
        (RESTS * took).min(LONGEST_REST)
    }
}

fn make(
    pages: &Pages,
    is_plain: bool,
    mut last: OwnedMutexGuard<Option<Made>>,
) -> OwnedMutexGuard<Option<Made>> {
    let begun = Instant::now();
    let text = pages.page();
    let plain = is_plain.then(|| plain::plain(&text).into());
    *last = Some(Made {
        begun,
        ended: Instant::now(),
        open: text.into(),
        plain,
    });
    last
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use prometheus_client::{
        collector::Collector, encoding::DescriptorEncoder, registry::Registry,
    };

    use super::*;

    /// Counts its pages, which take a while.
    #[derive(Debug)]
    struct Slow(Arc<AtomicU32>);

    impl Collector for Slow {
        fn encode(&self, _: DescriptorEncoder<'_>) -> std::fmt::Result {
            self.0.fetch_add(1, Relaxed);
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        }
    }

    fn served() -> (Served, Arc<AtomicU32>) {
        let made = Arc::<AtomicU32>::default();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Slow(Arc::clone(&made))));
        let served = Served {
            pages: Pages(Arc::new(registry)),
            last: Arc::default(),
        };
        (served, made)
    }

    #[tokio::test]
    async fn who_asks_together_gets_one_page_and_who_comes_later_another() {
        let (served, made) = served();
        let ask = || served.page(false);
        let all = futures::future::join_all((0..100).map(|_| ask())).await;
        assert!(all.iter().all(Option::is_some));
        // The first one began before the others asked.
        assert!(made.load(Relaxed) <= 2);
        let before = made.load(Relaxed);
        ask().await.unwrap();
        assert_eq!(made.load(Relaxed), before + 1);
    }

    #[tokio::test]
    async fn calls_that_are_given_up_take_a_fifth_of_a_cpu_at_most() {
        let (served, made) = served();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(500) {
            let asked = served.page(false);
            let _ = tokio::time::timeout(Duration::from_millis(1), asked).await;
        }
        // 20 ms of work and 80 ms of rest for each, and those at both ends.
        assert!(made.load(Relaxed) <= 7, "{}", made.load(Relaxed));
    }
}
