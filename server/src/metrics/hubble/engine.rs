//! All metrics that are on, and what counts in them.

use std::{fmt, time::Instant};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::counter::ConstCounter,
};
use sextant_flows::filter::FilterError;
use sextant_proto::flow::LostEventSource;

use super::{gone::Gone, handler::Handler, setting::Setting};
use crate::{
    identity::News,
    metrics::{follow, labels::Labels},
    store::Event,
};

/// Where events are lost, by the label that Hubble gives.
const SOURCES: [(LostEventSource, &str); 3] = [
    (
        LostEventSource::PerfEventRingBuffer,
        "perf_event_ring_buffer",
    ),
    (
        LostEventSource::ObserverEventsQueue,
        "observer_events_queue",
    ),
    (LostEventSource::HubbleRingBuffer, "hubble_ring_buffer"),
];

/// What became of what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Flows that were looked at.
    pub(crate) flows: u64,
    /// Events that were overwritten before they were looked at.
    pub(crate) lapped: u64,
    /// Flows that took too long to judge by a filter.
    pub(crate) overruns: u64,
    /// By metric.
    pub(crate) families: Vec<FamilyCounts>,
}

/// The series of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FamilyCounts {
    /// Without prefix and `_total`.
    pub(crate) name: &'static str,
    /// Series that it has.
    pub(crate) series: usize,
    /// Flows that found no room for a series of their own.
    pub(crate) overflowed: u64,
}

/// The handlers.
#[derive(Debug)]
pub(super) struct Engine {
    handlers: Vec<Handler>,
    labels: Labels,
    /// Series of each metric at most.
    most: usize,
    flows: u64,
    lapped: u64,
    /// Of metrics that are not there any more.
    overruns: u64,
    /// Events that were lost, as `SOURCES`.
    lost: [u64; SOURCES.len()],
    gone: Gone,
}

impl Engine {
    /// Without metrics yet.
    pub(super) fn new(most: usize) -> Self {
        Self {
            handlers: Vec::new(),
            labels: Labels::default(),
            most,
            flows: 0,
            lapped: 0,
            overruns: 0,
            lost: [0; SOURCES.len()],
            gone: Gone::default(),
        }
    }

    /// From now on these metrics. One that was on before goes on with its series, also
    /// under other filters; one that was not begins with none.
    ///
    /// # Errors
    ///
    /// A filter that cannot be compiled; all stays as it was.
    pub(super) fn apply(&mut self, settings: &[Setting]) -> Result<(), FilterError> {
        let fresh = settings
            .iter()
            .map(|setting| Handler::new(setting.clone(), self.most))
            .collect::<Result<Vec<_>, _>>()?;
        let mut before = std::mem::take(&mut self.handlers);
        for mut handler in fresh {
            let setting = handler.setting();
            let same = before
                .iter()
                .position(|known| known.setting().counts_as(setting));
            if let Some(at) = same {
                handler = before.swap_remove(at).with_filters_of(handler);
            }
            self.handlers.push(handler);
        }
        self.overruns += before.iter().map(Handler::overruns).sum::<u64>();
        Ok(())
    }

    /// An endpoint of another node came back or is gone, of which no event tells.
    pub(super) fn hear(
        &mut self,
        News {
            endpoint, is_gone, ..
        }: News,
        now: Instant,
    ) {
        match is_gone {
            true => self
                .gone
                .leave((endpoint.namespace, endpoint.pod_name), now),
            false => self
                .gone
                .come_back((&endpoint.namespace, &endpoint.pod_name)),
        }
    }

    fn lose(&mut self, source: LostEventSource, events: u64) {
        let place = SOURCES.iter().position(|(known, _)| *known == source);
        if let Some(place) = place {
            self.lost[place] = self.lost[place].saturating_add(events);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let families = self.handlers.iter().flat_map(Handler::sizes);
        Counts {
            flows: self.flows,
            lapped: self.lapped,
            overruns: self.overruns + self.handlers.iter().map(Handler::overruns).sum::<u64>(),
            families: families
                .map(|(name, series, overflowed)| FamilyCounts {
                    name,
                    series,
                    overflowed,
                })
                .collect(),
        }
    }

    /// Puts all metrics on the page.
    pub(super) fn encode(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for handler in &self.handlers {
            handler.encode(page)?;
        }
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family =
            page.encode_descriptor("lost_events", "Number of lost events", None, kind)?;
        for ((_, source), events) in SOURCES.iter().zip(self.lost) {
            let labels = [("source", *source)];
            ConstCounter::new(events).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl follow::Engine for Engine {
    type Settings = Vec<Setting>;

    fn take_up(&mut self, settings: &Vec<Setting>) {
        if let Err(error) = self.apply(settings) {
            tracing::warn!("Hubble's metrics as before: {error}");
        }
    }

    /// Lost events are counted in any case.
    fn is_idle(&self) -> bool {
        false
    }

    fn see(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Flow(flow) => {
                self.flows += 1;
                for handler in &mut self.handlers {
                    handler.see(flow, &mut self.labels);
                }
            }
            Event::Lost(lost) => self.lose(lost.event.source(), lost.event.num_events_lost),
            Event::Agent(agent) => self.gone.hear(&agent.event, now),
            Event::Debug(_) => {}
        }
    }

    fn miss(&mut self, events: u64) {
        self.lapped += events;
        self.lose(LostEventSource::HubbleRingBuffer, events);
    }

    /// Those of endpoints that are gone for long enough.
    fn forget(&mut self, now: Instant) -> Option<Instant> {
        let gone = self.gone.due(now);
        if !gone.is_empty() {
            // All at once: a walk over all series is dear.
            for handler in &mut self.handlers {
                handler.forget(&gone);
            }
        }
        self.gone.next()
    }
}
