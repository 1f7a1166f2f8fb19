use opentelemetry_proto::tonic::trace::v1::Span as Encoded;
use prost::Message as _;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

/// Runs this where spans are made, and no line is logged.
fn made<T>(spans: &Spans, work: impl FnOnce() -> T) -> T {
    let subscriber = tracing_subscriber::registry()
        .with(spans.layer())
        .with(spans.gate());
    tracing::subscriber::with_default(subscriber, work)
}

fn taken(from: &Taken) -> Vec<Encoded> {
    std::iter::from_fn(|| from.next())
        .map(|span| Encoded::decode(span).unwrap())
        .collect()
}

#[test]
fn there_are_none_unless_somebody_takes_them() {
    let spans = Spans::default();
    made(&spans, || {
        assert!(reload("a").is_disabled());
        let own = spans.take();
        reloaded(&reload("b"), false);
        let ended = taken(&own);
        assert_eq!((ended.len(), ended[0].name.as_str()), (1, "reload b"));
        assert_eq!(ended[0].status.as_ref().unwrap().code, 2);
        // Others than ours are none.
        drop(tracing::info_span!("other"));
        own.close();
        drop(reload("c"));
        assert!(taken(&own).is_empty() && reload("d").is_disabled());
    });
}

#[test]
fn what_is_within_another_is_its_child() {
    let spans = Spans::default();
    let own = spans.take();
    made(&spans, || {
        let outer = reload("outer");
        // One of others, such as the log's, is no parent.
        outer.in_scope(|| tracing::info_span!("other").in_scope(|| drop(reload("inner"))));
    });
    let ended = taken(&own);
    assert_eq!(ended[0].parent_span_id, ended[1].span_id);
    assert_eq!(ended[0].trace_id, ended[1].trace_id);
}

#[test]
fn a_flood_is_bounded_and_counted_for_each_who_takes() {
    let spans = Spans::default();
    let (one, other) = (spans.take(), spans.take());
    made(&spans, || {
        (0..QUEUED + 7).for_each(|_| drop(reload("flood")));
        assert_eq!((one.len(), one.lost(), one.lost()), (QUEUED, 7, 0));
        assert_eq!(taken(&one).len(), QUEUED);
        drop(reload("after"));
    });
    assert_eq!((one.len(), other.len(), other.lost()), (1, QUEUED, 8));
}
