//! Spans that ended, as OTLP has them.

use std::time::{Duration, SystemTime};

use opentelemetry::{Context, KeyValue, trace::SpanKind};
use opentelemetry_proto::tonic::trace::v1::Span as Encoded;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use prost::Message as _;
use tonic::Code;

use super::Spans;

/// The attribute of calls that tells how they ended.
const STATUS: &str = "rpc.grpc.status_code";

/// Encodes them, and hands them on.
#[derive(Debug)]
pub(super) struct Ended(Spans);

impl Ended {
    pub(super) fn new(spans: Spans) -> Self {
        Self(spans)
    }
}

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        let has_status = || span.attributes.iter().any(|one| one.key.as_str() == STATUS);
        // A call whose client went: nothing else tells its end.
        if span.span_kind == SpanKind::Server && !has_status() {
            span.attributes
                .push(KeyValue::new(STATUS, Code::Cancelled as i64));
            span.end_time = SystemTime::now();
        }
        self.0.push(&Encoded::from(span).encode_to_vec().into());
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
