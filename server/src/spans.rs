//! Spans of the daemon's own work: calls, changes of policies, what is read again.
//!
//! Made with `tracing` under a target of their own, which the log does not have, and
//! handed encoded (OTLP) to the exporters that asked for them. As long as none did, no
//! span is made. Not the spans of connections, which exporters make of flows. Bound: a
//! span for each call and change that is under way, whose attributes are words of ours and
//! numbers, and a queue for each exporter.

mod ended;
mod parent;
mod queue;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::{
    Metadata, Span, Subscriber, field::Empty, level_filters::LevelFilter, subscriber::Interest,
};
use tracing_subscriber::{Layer, filter::filter_fn, layer::Context, registry::LookupSpan};

use ended::Ended;
pub use parent::parent;
use queue::Queue;
pub use queue::{QUEUED, Taken};

/// The target of these spans, of which there are no events.
pub const TARGET: &str = "sextantd::own";

/// Where ended spans go; clones are the same.
#[derive(Clone, Default)]
pub struct Spans(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether anybody takes them.
    is_on: AtomicBool,
    queues: Mutex<Vec<Weak<Queue>>>,
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans")
            .field("is_on", &self.0.is_on)
            .finish_non_exhaustive()
    }
}

impl Spans {
    /// What makes spans of those of `tracing`. Which are sampled is as the standard
    /// variables say (`OTEL_TRACES_SAMPLER`): those of a sampled parent, and all without
    /// one, unless they say otherwise.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let provider = SdkTracerProvider::builder()
            // Who sends says who they are.
            .with_resource(Resource::builder_empty().build())
            .with_span_processor(Ended::new(self.clone()))
            .build();
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("sextantd"))
            .with_context_activation(false)
            .with_tracked_inactivity(false)
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_filter(filter_fn(is_own).with_max_level_hint(LevelFilter::INFO))
    }

    /// What keeps spans from being made that nobody takes; above all other layers.
    pub fn gate<S: Subscriber>(&self) -> impl Layer<S> + use<S> {
        Gate(self.clone())
    }

    /// Takes those that end from now on.
    #[must_use]
    pub fn take(&self) -> Taken {
        let queue = Arc::new(Queue::default());
        let mut queues = self.lock();
        queues.push(Arc::downgrade(&queue));
        self.0.is_on.store(true, Relaxed);
        Taken::new(queue)
    }

    /// One that ended.
    fn push(&self, span: &Bytes) {
        let mut queues = self.lock();
        queues.retain(|queue| match queue.upgrade() {
            Some(queue) => queue.push(span.clone()),
            None => false,
        });
        self.0.is_on.store(!queues.is_empty(), Relaxed);
    }

    /// Whoever died with the lock had added or removed one.
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Queue>>> {
        let queues = &self.0.queues;
        queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets these spans through only if somebody takes them. For all layers, since a span that
/// each of several filters holds back is made all the same.
#[derive(Debug)]
struct Gate(Spans);

impl<S: Subscriber> Layer<S> for Gate {
    fn enabled(&self, about: &Metadata<'_>, _: Context<'_, S>) -> bool {
        !is_own(about) || self.0.0.is_on.load(Relaxed)
    }

    fn register_callsite(&self, about: &'static Metadata<'static>) -> Interest {
        match is_own(about) {
            true => Interest::sometimes(),
            false => Interest::always(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // No more than the layers below want.
        Some(LevelFilter::INFO)
    }
}

fn is_own(about: &Metadata<'_>) -> bool {
    about.is_span() && about.target() == TARGET
}

/// Of something that is read again, a child of what is at work.
#[must_use]
pub fn reload(what: &'static str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "reload",
        otel.name = format!("reload {what}"),
        otel.status_code = Empty,
        sextant.reload.what = what,
        sextant.reload.outcome = Empty,
    )
}

/// Whether what was read is taken; else all is as before.
pub fn reloaded(span: &Span, is_taken: bool) {
    if is_taken {
        span.record("sextant.reload.outcome", "taken");
    } else {
        span.record("sextant.reload.outcome", "as before");
        span.record("otel.status_code", "ERROR");
    }
}

#[cfg(test)]
mod tests;
