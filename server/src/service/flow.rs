//! `sextant.flow.v1.FlowService`: recording, summaries, hints.

mod names;
mod page;
pub(super) mod record;
mod sides;
mod summarize;

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, stream};
use sextant_proto::sextant::flow::v1 as api;
use tokio::time::MissedTickBehavior;
use tonic::{Request, Response, Status, Streaming};

use super::{
    access::view_of,
    audit::What,
    beside::beside,
    generated::flow_service_server::{FlowService, FlowServiceServer},
    limits::{Limits, Line, shutting_down},
};
use crate::{flow::Time, listener::Caller, pipeline::Pipeline, record::RecordCounts, store::Ring};

use record::Recording;
use summarize::SummaryQuery;

pub use sides::Sides;

/// The service; clones share everything.
#[derive(Clone)]
pub struct FlowsService {
    pipeline: Arc<Mutex<Pipeline>>,
    ring: Ring,
    counts: Arc<RecordCounts>,
    limits: Limits,
    started: Time,
    noted: Duration,
    /// Of those who look at all names.
    listing: Line,
}

impl FlowsService {
    /// A service over the events of `ring`, which `pipeline` fills. Totals of
    /// flows are noted for `noted` before a window: twice the time between two
    /// events of an active flow.
    #[must_use]
    pub fn new(
        pipeline: Arc<Mutex<Pipeline>>,
        ring: Ring,
        counts: Arc<RecordCounts>,
        limits: Limits,
        noted: Duration,
    ) -> Self {
        Self {
            pipeline,
            ring,
            counts,
            limits,
            listing: Line::default(),
            started: Time::now(),
            noted,
        }
    }

    /// For the gRPC server.
    #[must_use]
    pub fn into_server(self, max_request_bytes: usize) -> FlowServiceServer<Self> {
        FlowServiceServer::new(self).max_decoding_message_size(max_request_bytes)
    }
}

#[tonic::async_trait]
impl FlowService for FlowsService {
    type WatchFlowSummaryStream =
        Pin<Box<dyn Stream<Item = Result<api::WatchFlowSummaryResponse, Status>> + Send>>;

    async fn record_flows(
        &self,
        request: Request<Streaming<Bytes>>,
    ) -> Result<Response<api::RecordFlowsResponse>, Status> {
        let recording = Recording::new(Arc::clone(&self.pipeline), Arc::clone(&self.counts));
        let answer = recording.run(request.into_inner(), self.limits.clone());
        let answer = answer.await?;
        let what = format!("{} recorded, {} refused", answer.recorded, answer.refused);
        let mut response = Response::new(answer);
        response.extensions_mut().insert(What(what));
        Ok(response)
    }

    async fn summarize_flows(
        &self,
        request: Request<api::SummarizeFlowsRequest>,
    ) -> Result<Response<api::SummarizeFlowsResponse>, Status> {
        let turn = self.limits.turn(&Caller::of(request.extensions())).await;
        let view = view_of(request.extensions());
        let (asked, noted) = (request.into_inner(), self.noted);
        let (mut query, _turn) = beside(move || {
            let query = SummaryQuery::compile(&asked, noted, "", &view);
            query.map(|query| (query, turn))
        })
        .await?;
        let summary = query.run(&self.ring, self.started).await?;
        Ok(Response::new(api::SummarizeFlowsResponse {
            summary: Some(summary),
        }))
    }

    async fn watch_flow_summary(
        &self,
        request: Request<api::WatchFlowSummaryRequest>,
    ) -> Result<Response<Self::WatchFlowSummaryStream>, Status> {
        let caller = Caller::of(request.extensions());
        let view = view_of(request.extensions());
        let request = request.into_inner();
        let asked = request.summary.unwrap_or_default();
        let (turn, noted) = (self.limits.short_turn(&caller).await, self.noted);
        let query = beside(move || {
            let query = SummaryQuery::compile_repeated(&asked, noted, "summary.", &view);
            drop(turn);
            query
        })
        .await?;
        let kept = self.limits.keep(&caller, query.weight())?;
        let interval = summarize::interval(request.interval.as_ref())?;
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (ring, started) = (self.ring.clone(), self.started);
        let open = Some((query, ticks, self.limits.clone(), kept));
        let responses = stream::unfold(open, move |open| {
            let (ring, caller) = (ring.clone(), caller.clone());
            async move {
                let (mut query, mut ticks, mut limits, kept) = open?;
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = limits.drained() => return Some((Err(shutting_down()), None)),
                }
                let turn = limits.turn(&caller).await;
                let summary = match query.run(&ring, started).await {
                    Ok(summary) => Some(summary),
                    Err(status) => return Some((Err(status), None)),
                };
                drop(turn);
                let response = api::WatchFlowSummaryResponse { summary };
                Some((Ok(response), Some((query, ticks, limits, kept))))
            }
        });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn list_filter_hints(
        &self,
        request: Request<api::ListFilterHintsRequest>,
    ) -> Result<Response<api::ListFilterHintsResponse>, Status> {
        let _turn = self.limits.turn(&Caller::of(request.extensions())).await;
        let view = view_of(request.extensions());
        let answer = summarize::hints(request.into_inner(), &self.ring, &view).await?;
        Ok(Response::new(answer))
    }

    async fn list_names(
        &self,
        request: Request<api::ListNamesRequest>,
    ) -> Result<Response<api::ListNamesResponse>, Status> {
        // There may be a million of them: one who asks has them at a time. Of one peer few
        // stand in that line.
        let caller = Caller::of(request.extensions());
        let turn = self.limits.turn(&caller).await;
        let one = self.listing.place(&caller).await;
        let query = names::Query::compile(request.get_ref())?;
        let pipeline = Arc::clone(&self.pipeline);
        let answer = beside(move || {
            let _held = (one, turn);
            let all = {
                let pipeline = pipeline.lock();
                pipeline.unwrap_or_else(PoisonError::into_inner).names()
            };
            Ok(query.answer(all))
        });
        Ok(Response::new(answer.await?))
    }
}
