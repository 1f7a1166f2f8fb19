//! From raw events to the store: enrich, stamp, push; in batches, by whoever
//! holds the lock (the reader's thread, or replay before it starts).
//!
//! Times are kept rising: an event that comes a moment late (two CPUs, two
//! rings) is stamped just after the one before it, so `since` and `until` cut
//! where they should. A clock that was set back by more than that is followed.

mod enrich;
mod hosts;
mod judged;
mod layer7;
mod namespaces;
mod nat;
mod places;
mod quality;
mod server_names;
mod servers;
mod services;
mod stored;
mod uuid;

#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use sextant_ebpf_common as common;
use sextant_proto::flow as pb;

use crate::{
    datapath::{Batch, DropReasons, Links, Vlans},
    dns,
    flow::{Address, Endpoint, Flow, Interned, Interners, Origin, Time, Uuid, proto},
    identity::Snapshot,
    policy::verdicts::Verdicts,
    process::{ProcessCounts, Processes},
    record::normalise,
    services::Services,
    store::{Event, RingWriter, Stamped},
};

use layer7::Layer7;
pub use layer7::{DnsCounts, NameSource, NamedAddress, SharedDnsCounts};
pub use namespaces::Namespaces;
pub use nat::NatCounts;
use nat::Translations;
use places::Places;
use quality::Qualities;
pub use quality::TcpCounts;
use servers::Servers;
pub use stored::{Stored, StoredCounts};
use uuid::Uuids;

/// Lateness that counts as disorder rather than as a clock that was set back.
const DISORDER_NS: i64 = 1_000_000_000;

/// A flow of another sensor.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// The flow; its endpoints are not looked at.
    pub flow: pb::Flow,
    /// Who is behind the source.
    pub source: Option<Interned<Endpoint>>,
    /// Who is behind the destination.
    pub destination: Option<Interned<Endpoint>>,
}

/// Turns raw events into flows and stores them.
pub struct Pipeline {
    writer: RingWriter,
    /// Shared values of replayed and recorded flows.
    pub interners: Interners,
    origin: Interned<Origin>,
    identities: Arc<ArcSwap<Snapshot>>,
    links: Arc<ArcSwap<Links>>,
    places: Places,
    /// Who is behind sockets; nobody until the datapath says so.
    processes: Option<Processes>,
    drop_reasons: DropReasons,
    vlans: Vlans,
    layer7: Layer7,
    qualities: Qualities,
    translations: Translations,
    servers: Servers,
    services: Services,
    /// What policies say.
    verdicts: Verdicts,
    namespaces: Namespaces,
    uuids: Uuids,
    stored: StoredCounts,
    last_time: i64,
    /// Of the latest batch: from the monotonic clock to wall time.
    wall_offset_ns: i64,
    /// Kept for its capacity.
    flows: Vec<Event>,
}

impl Pipeline {
    /// A pipeline into `writer`, for flows observed at `origin`.
    #[must_use]
    pub fn new(
        writer: RingWriter,
        origin: Origin,
        identities: Arc<ArcSwap<Snapshot>>,
        links: Arc<ArcSwap<Links>>,
        namespaces: Namespaces,
    ) -> Self {
        let mut interners = Interners::default();
        Self {
            writer,
            origin: interners.origins.intern(origin),
            interners,
            identities,
            links,
            places: Places::default(),
            processes: None,
            drop_reasons: DropReasons::default(),
            vlans: Vlans::default(),
            layer7: Layer7::default(),
            qualities: Qualities::default(),
            translations: Translations::default(),
            servers: Servers::default(),
            services: Services::default(),
            verdicts: Verdicts::default(),
            namespaces,
            uuids: Uuids::new(),
            stored: StoredCounts::default(),
            last_time: i64::MIN,
            wall_offset_ns: 0,
            flows: Vec::new(),
        }
    }

    /// The node and emitter of flows observed here.
    #[must_use]
    pub fn origin(&self) -> &Interned<Origin> {
        &self.origin
    }

    /// How many events were stored.
    #[must_use]
    pub fn stored(&self) -> StoredCounts {
        self.stored.clone()
    }

    /// What became of processes.
    #[must_use]
    pub fn processes(&self) -> ProcessCounts {
        let processes = self.processes.as_ref();
        processes.map(Processes::counts).unwrap_or_default()
    }

    /// What a datapath knows: names of the kernel's drop reasons, VLANs, where processes
    /// are known from, and services of this host.
    pub fn know(
        &mut self,
        reasons: DropReasons,
        vlans: Vlans,
        processes: Processes,
        services: Services,
    ) {
        self.drop_reasons = reasons;
        self.vlans = vlans;
        self.processes = Some(processes);
        self.services = services;
    }

    /// What policies mean by what they say of flows.
    pub fn know_verdicts(&mut self, verdicts: Verdicts) {
        self.verdicts = verdicts;
    }

    /// Stores what the datapath raised.
    pub fn observe(&mut self, batch: &Batch) {
        self.wall_offset_ns = batch.wall_offset_ns;
        let identities = self.identities.load_full();
        self.places.follow(self.links.load_full());
        if let Some(processes) = &mut self.processes {
            processes.learn(&batch.processes, &mut self.interners);
        }
        self.layer7.follow();
        self.services.follow();
        self.translations.learn(&batch.translations);
        let mut flows = std::mem::take(&mut self.flows);
        let raised = batch.events.iter().map(|event| (event, None));
        let carried = batch.payloads.iter();
        let carried = carried.map(|carried| (carried.event, Some(carried)));
        let mut all: Vec<_> = raised.chain(carried).collect();
        all.sort_by_key(|(event, _)| event.time_ns);
        for (event, carried) in all {
            let wall = (event.time_ns as i64).saturating_add(batch.wall_offset_ns);
            match carried {
                None => self.packet(event, wall, &identities, &mut flows),
                Some(carried) => {
                    let zone = self.vlans.place(event.zone).zone;
                    for seen in self.layer7.take(carried, zone, &identities) {
                        let mut flow = self.flow(event, wall, &identities);
                        dns::mark(&mut flow, &seen);
                        flows.push(Event::Flow(flow));
                        self.stored.layer7(1);
                    }
                }
            }
        }
        if !batch.payloads.is_empty() {
            self.layer7.publish();
        }
        for (source, lost) in [
            (pb::LostEventSource::PerfEventRingBuffer, batch.lost.kernel),
            (pb::LostEventSource::ObserverEventsQueue, batch.lost.ends),
        ] {
            if lost > 0 {
                flows.push(self.lost(source, lost));
                self.stored.own(1);
            }
        }
        self.store(&mut flows);
        self.flows = flows;
    }

    /// The flow of a packet, behind what policies newly say of it.
    fn packet(
        &mut self,
        event: &common::Event,
        wall: i64,
        identities: &Snapshot,
        flows: &mut Vec<Event>,
    ) {
        let mut flow = self.flow(event, wall, identities);
        if let Some(counters) = flow
            .counters
            .as_ref()
            .filter(|counters| counters.end.is_some())
        {
            self.stored.ended(&flow, counters);
        }
        self.qualities.count_handshake(event, &flow);
        let judged = judged::of(event, &self.verdicts);
        judged::mark(&mut flow, event, &judged);
        judged::count(event, &judged, &self.verdicts, wall);
        let mut told = 0;
        for mut verdict in judged::verdict_events(&flow, &judged) {
            verdict.uuid = self.uuids.next();
            flows.push(Event::Flow(verdict));
            told += 1;
        }
        if told == 0 || !judged::is_verdict_alone(event) {
            flows.push(Event::Flow(flow));
            told += 1;
        }
        // One event came of the programs.
        self.stored.own(told - 1);
    }

    /// The flow of an event, with names of both sides.
    fn flow(&mut self, event: &common::Event, wall: i64, identities: &Snapshot) -> Flow {
        let mut mended = *event;
        self.servers.see(&mut mended);
        let place = self.vlans.place(event.zone);
        if place.ids != [0; 2] {
            mended.vlan = place.ids;
        }
        let leg = self.translations.join(&mut mended);
        let event = &mended;
        let mut context = enrich::Context {
            identities,
            origin: &self.origin,
            drop_reasons: &self.drop_reasons,
            places: &mut self.places,
            processes: self.processes.as_mut(),
            interners: &mut self.interners,
            qualities: &mut self.qualities,
        };
        let mut flow = enrich::flow(event, &mut context);
        if let Some(leg) = leg {
            leg.mark(&mut flow, identities);
        }
        let called = leg.map(|leg| leg.called());
        services::mark(&mut flow, event, called, &self.services, identities);
        let interners = &mut self.interners;
        self.layer7
            .name(&mut flow, event, place.zone, identities, interners);
        flow.time = Some(self.rising(wall));
        flow.uuid = self.uuids.next();
        flow
    }

    /// How names are kept from now on, and the file that has some where DNS has not.
    pub fn set_names(&mut self, settings: crate::names::Settings, hosts: Option<PathBuf>) {
        self.layer7.set(settings, hosts);
    }

    /// The names of addresses that count now, in no order.
    #[must_use]
    pub fn names(&mut self) -> Vec<NamedAddress> {
        // Where no packet comes nobody else looks.
        self.layer7.follow();
        let now = Time::now().as_nanos() - self.wall_offset_ns;
        self.layer7.list(now, self.wall_offset_ns)
    }

    /// What became of translated connections.
    #[must_use]
    pub fn nat(&self) -> NatCounts {
        self.translations.counts()
    }

    /// What TCP connections did.
    #[must_use]
    pub fn tcp(&self) -> TcpCounts {
        self.qualities.counts()
    }

    /// What became of DNS messages.
    #[must_use]
    pub fn dns(&self) -> SharedDnsCounts {
        self.layer7.counts()
    }

    /// Stores events that came from elsewhere (replay, recording), as they are.
    pub fn push(&mut self, events: &mut Vec<Event>) {
        self.stored.recorded(events.len() as u64);
        self.store(events);
    }

    fn store(&mut self, events: &mut Vec<Event>) {
        for event in events.iter() {
            if let Event::Flow(flow) = event {
                self.namespaces.see(flow);
            }
        }
        self.namespaces.publish();
        self.writer.push(events.drain(..));
        self.make_room();
        self.stored.share(self.interners.bytes() as u64);
    }

    /// Keeps stored events and what they share within the store's bytes: the
    /// oldest go, until there is some room again for what comes.
    fn make_room(&mut self) {
        let capacity = self.writer.ring().byte_capacity();
        let stored = |writer: &RingWriter| writer.ring().bytes();
        let shared = |interners: &Interners| interners.bytes() as u64;
        if stored(&self.writer).saturating_add(shared(&self.interners)) <= capacity {
            return;
        }
        self.interners.sweep();
        let wanted = capacity - capacity / 8;
        while stored(&self.writer) + shared(&self.interners) > wanted
            && !self.writer.ring().is_empty()
        {
            let before = stored(&self.writer);
            self.writer.shrink_to(before - before / 8);
            self.interners.sweep();
        }
    }

    /// Stores flows of another sensor. What they lack is filled in: the time is
    /// the present, the id a new one, the node this one, and an endpoint the one
    /// that has the address here. Names are written as filters look for them. `share` finds what they have in common.
    pub fn record<T>(
        &mut self,
        flows: impl IntoIterator<Item = T>,
        mut share: impl FnMut(T, &mut Interners) -> Recorded,
    ) {
        let identities = self.identities.load_full();
        let mut events = std::mem::take(&mut self.flows);
        for flow in flows {
            let mut recorded = share(flow, &mut self.interners);
            normalise(&mut recorded.flow);
            let nameless = recorded.flow.node_name.is_empty();
            let mut flow = proto::from_proto(recorded.flow, &mut self.interners);
            flow.source = recorded.source;
            flow.destination = recorded.destination;
            if flow.time.is_none() {
                flow.time = Some(self.rising(Time::now().as_nanos()));
            }
            if flow.uuid == Uuid::None {
                flow.uuid = self.uuids.next();
            }
            if nameless {
                flow.origin = self.own_origin(&flow.origin);
            }
            if let Some(ip) = &flow.ip {
                let endpoint = |address: &Address| {
                    let address = address.ip()?;
                    Some(identities.resolve(address).clone())
                };
                flow.source = flow.source.or_else(|| endpoint(&ip.source));
                flow.destination = flow.destination.or_else(|| endpoint(&ip.destination));
            }
            events.push(Event::Flow(flow));
        }
        self.push(&mut events);
        self.flows = events;
    }

    /// This node, with what a flow without a node's name says beside it.
    fn own_origin(&mut self, said: &Origin) -> Interned<Origin> {
        if *said == Origin::default() {
            return self.origin.clone();
        }
        let own = Origin::clone(&self.origin);
        self.interners.origins.intern(Origin {
            node_name: own.node_name,
            node_labels: match said.node_labels.is_empty() {
                true => own.node_labels,
                false => said.node_labels.clone(),
            },
            emitter: said.emitter.clone().or(own.emitter),
        })
    }

    /// Stores something that the daemon did.
    pub fn tell(&mut self, event: pb::AgentEvent) {
        let time = self.rising(Time::now().as_nanos());
        let stamped = Stamped {
            time: Some(time),
            node_name: self.origin.node_name.clone(),
            event,
        };
        self.stored.own(1);
        self.writer.push([Event::Agent(Box::new(stamped))]);
    }

    /// A flow's own endpoint resolution, for captures.
    #[must_use]
    pub fn identities(&self) -> Arc<Snapshot> {
        self.identities.load_full()
    }

    fn lost(&mut self, source: pb::LostEventSource, lost: u64) -> Event {
        let time = self.rising(Time::now().as_nanos());
        Event::Lost(Box::new(Stamped {
            time: Some(time),
            node_name: self.origin.node_name.clone(),
            event: pb::LostEvent {
                source: source.into(),
                num_events_lost: lost,
                cpu: None,
                first: None,
                last: Some(time.into()),
            },
        }))
    }

    fn rising(&mut self, wall: i64) -> Time {
        let late = self.last_time.saturating_sub(wall);
        let time = if (0..DISORDER_NS).contains(&late) {
            self.last_time + 1
        } else {
            wall
        };
        self.last_time = time;
        Time::from_nanos(time)
    }
}

/// Whether a flow is one that the `namespaces` answer counts.
fn sides(flow: &Flow) -> impl Iterator<Item = &Interned<crate::flow::Endpoint>> {
    flow.source.iter().chain(flow.destination.iter())
}
