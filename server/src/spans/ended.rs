//! Spans that ended, as OTLP has them.

use std::time::{Duration, SystemTime};

use opentelemetry::{Context, KeyValue, trace::SpanKind};
use opentelemetry_proto::tonic::trace::v1::Span as Encoded;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use opentelemetry_semantic_conventions::attribute::RPC_RESPONSE_STATUS_CODE as STATUS;
use prost::Message as _;

use super::Spans;

/// How a call ends whose client goes, by gRPC's name for it.
const CANCELLED: &str = "CANCELLED";

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
            span.attributes.push(KeyValue::new(STATUS, CANCELLED));
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
