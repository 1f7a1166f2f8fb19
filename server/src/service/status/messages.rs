//! From the daemon's own numbers to the messages of `sextant.status.v1`.

use std::time::Duration;

use sextant_flows::printable::printable;
use sextant_proto::sextant::status::v1 as api;
use tonic::Status;

use crate::{
    containers::{EngineState, EngineStatus},
    datapath::{
        InterfaceCount, MapCost, Objects, ProgramCost, Report, Unobserved, Volume, Volumes,
    },
    dns::Malformed,
    export::{Damage, Dropped, SpoolState, State},
    flow::Time,
    kubernetes::{KindStatus, WatchState},
    ledger::{Events, Ledger, Packets, Payloads},
    overhead::{Budget, Load},
    process::ProcessCounts,
    sni,
    store::Delivered,
};

/// Names of map types as bpftool has them (`enum bpf_map_type`).
const KINDS: [(u32, &str); 5] = [
    (1, "hash"),
    (2, "array"),
    (6, "percpu_array"),
    (9, "lru_hash"),
    (27, "ringbuf"),
];
/// The tables, as `Volumes` has them.
const TABLES: [&str; 3] = ["ipv4", "ipv6", "drops"];

pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: duration.as_secs() as i64,
        nanos: duration.subsec_nanos() as i32,
    }
}

pub(super) fn time(time: Time) -> prost_types::Timestamp {
    time.into()
}

/// An interval of a request; what is too short is refused by name.
pub(super) fn interval(
    wanted: Option<prost_types::Duration>,
    default: Duration,
    shortest: Duration,
) -> Result<Duration, Status> {
    let Some(wanted) = wanted else {
        return Ok(default);
    };
    match crate::duration::of_message(&wanted) {
        Some(wanted) if wanted >= shortest => Ok(wanted),
        _ => Err(Status::invalid_argument(format!(
            "interval: must be {shortest:?} or longer; leave it out for {default:?}"
        ))),
    }
}

pub(super) fn kernel(report: &Report) -> api::Kernel {
    api::Kernel {
        release: report.kernel.clone(),
        abilities: report
            .abilities
            .iter()
            .map(|ability| api::Ability {
                name: ability.name.into(),
                present: ability.present,
                note: ability.note.clone(),
            })
            .collect(),
    }
}

pub(super) fn unobserved(interface: Unobserved) -> api::UnobservedInterface {
    api::UnobservedInterface {
        interface: interface.name,
        reason: interface.reason,
    }
}

pub(super) fn attachment(interface: InterfaceCount) -> api::Attachment {
    let direction = |index: usize| api::Volume {
        packets: interface.packets[index],
        bytes: interface.bytes[index],
    };
    let [unseen_ingress, unseen_egress] = interface.unseen;
    let [ahead_ingress, ahead_egress] = interface.ahead;
    api::Attachment {
        unseen_ingress,
        unseen_egress,
        ahead_ingress,
        ahead_egress,
        failure: interface.failure.unwrap_or_default(),
        index: interface.index,
        hook: interface.hook.into(),
        since: Some(interface.since.into()),
        ingress: Some(direction(0)),
        egress: Some(direction(1)),
        interface: interface.name,
    }
}

pub(super) fn tables(volumes: &Volumes) -> Vec<api::FlowTable> {
    let found = volumes.entries().into_iter().zip(volumes.capacities());
    TABLES
        .iter()
        .zip(found)
        .map(|(name, (entries, capacity))| api::FlowTable {
            name: (*name).into(),
            entries,
            capacity: capacity.into(),
        })
        .collect()
}

pub(super) fn ledger(ledger: Ledger) -> api::Ledger {
    let Delivered {
        read,
        delivered,
        lapped,
    } = ledger.delivered;
    api::Ledger {
        packets: Some(packets(ledger.packets)),
        events: Some(events(&ledger.events)),
        delivery: Some(api::DeliveryBalance {
            read,
            delivered,
            filtered: read - delivered,
            lapped,
            overwritten: ledger.overwritten,
        }),
    }
}

pub(super) fn processes(counts: &ProcessCounts) -> api::Processes {
    let sides = counts.sides();
    api::Processes {
        known: counts.known(),
        looked_up: counts.looked_up(),
        not_found: counts.not_found(),
        forgotten: counts.forgotten(),
        sides: Some(api::Sides {
            process: sides.process,
            unknown: sides.unknown,
            no_socket: sides.no_socket,
            elsewhere: sides.elsewhere,
        }),
    }
}

pub(super) fn engine(engine: EngineStatus) -> api::ContainerEngine {
    api::ContainerEngine {
        kind: engine.socket.engine.name().into(),
        socket: engine.socket.path.to_string_lossy().into_owned(),
        connected: engine.state == EngineState::Connected,
        failure: match engine.state {
            EngineState::Failing(reason) => printable(&reason).into_owned(),
            EngineState::Absent | EngineState::Connected => String::new(),
        },
        containers: engine.containers,
        left_out: engine.left_out,
        failures: engine.failures,
    }
}

pub(super) fn kubernetes(kind: KindStatus) -> api::KubernetesKind {
    api::KubernetesKind {
        kind: kind.kind.name().into(),
        following: kind.state == WatchState::Following,
        failure: match kind.state {
            WatchState::Failing(reason) => printable(&reason).into_owned(),
            WatchState::Off | WatchState::Starting | WatchState::Following => String::new(),
        },
        objects: kind.objects,
        left_out: kind.left_out,
        failures: kind.failures,
    }
}

pub(super) fn exporter(state: State) -> api::Exporter {
    let dropped = Dropped::ALL.iter().zip(state.dropped);
    let up = state.is_at_work();
    let (time, error) = state.last_error.unzip();
    api::Exporter {
        name: printable(&state.name).into_owned(),
        kind: state.kind.into(),
        target: printable(&state.target).into_owned(),
        up,
        over: state.is_over,
        sent: state.sent,
        sent_bytes: state.sent_bytes,
        filtered: state.filtered,
        retries: state.retries,
        dropped: dropped
            .map(|(cause, events)| api::ExporterDrop {
                cause: cause.name().into(),
                events,
            })
            .collect(),
        lag: state.lag,
        last_error: printable(&error.unwrap_or_default()).into_owned(),
        last_error_time: time.map(Into::into),
        spool: state.spool.map(spool),
        grouped: state.grouped,
        early_groups: state.overflows,
    }
}

fn spool(state: SpoolState) -> api::Spool {
    let errors = Damage::ALL.iter().zip(state.damaged);
    api::Spool {
        bytes: state.bytes,
        errors: errors
            .map(|(cause, count)| api::SpoolError {
                cause: cause.name().into(),
                count,
            })
            .collect(),
        error: printable(&state.error.unwrap_or_default()).into_owned(),
    }
}

pub(super) fn dns(payloads: &Payloads) -> api::Dns {
    let (messages, names) = (payloads.dns.messages, payloads.dns.names);
    let malformed = Malformed::ALL.iter().zip(messages.malformed);
    api::Dns {
        copied: payloads.copied,
        read: payloads.read,
        ring_full: payloads.ring_full,
        over_budget: payloads.over_budget,
        queries: messages.queries,
        answers: messages.answers,
        unasked: messages.unasked,
        malformed: malformed
            .map(|(cause, messages)| api::MalformedDns {
                cause: cause.name().into(),
                messages,
            })
            .collect(),
        forgotten_queries: messages.forgotten_queries,
        forgotten_streams: messages.forgotten_streams,
        addresses: names.addresses,
        address_capacity: names.capacity,
        forgotten_addresses: names.forgotten,
        left_out_names: names.left_out,
        tls: Some(tls(payloads)),
    }
}

fn tls(payloads: &Payloads) -> api::Tls {
    let (hellos, names) = (payloads.dns.hellos, payloads.dns.server_names);
    let malformed = sni::Malformed::ALL.iter().zip(hellos.malformed);
    api::Tls {
        hellos: hellos.hellos,
        nameless: hellos.nameless,
        malformed: malformed
            .map(|(cause, connections)| api::MalformedHello {
                cause: cause.name().into(),
                connections,
            })
            .collect(),
        forgotten_connections: hellos.forgotten,
        addresses: names.addresses,
        address_capacity: names.capacity,
        forgotten_addresses: names.forgotten,
        left_out_names: names.left_out,
    }
}

fn packets(packets: Packets) -> api::PacketBalance {
    api::PacketBalance {
        seen: Some(volume(packets.seen)),
        in_flows: Some(volume(packets.in_flows)),
        without_flow: packets
            .without_flow
            .into_iter()
            .map(|(cause, counted)| api::CauseVolume {
                cause: cause.into(),
                volume: Some(volume(counted)),
            })
            .collect(),
        difference: packets.difference,
        unseen: packets.unseen,
    }
}

fn volume(volume: Volume) -> api::Volume {
    api::Volume {
        packets: volume.packets,
        bytes: volume.bytes,
    }
}

fn events(events: &Events) -> api::EventBalance {
    api::EventBalance {
        raised: events.raised,
        ended: events.ended,
        recorded: events.recorded,
        own: events.own,
        layer7: events.layer7,
        stored: events.stored,
        lost: events
            .lost
            .iter()
            .map(|lost| api::Loss {
                place: lost.place.into(),
                cause: lost.cause.into(),
                events: lost.events,
                intended: lost.intended,
            })
            .collect(),
        in_flight: events.in_flight,
    }
}

pub(super) fn cost(
    load: Load,
    objects: Option<&Objects>,
    sweep_time: Option<Duration>,
) -> api::Cost {
    let maps = objects.map_or_else(Vec::new, Objects::maps);
    let programs = objects.map_or_else(Vec::new, Objects::programs);
    api::Cost {
        map_bytes: maps.iter().map(|map| map.bytes).sum(),
        programs: programs.into_iter().map(program).collect(),
        maps: maps.into_iter().map(map).collect(),
        cpu_time: Some(duration(load.cpu_time)),
        daemon_cpu: load.daemon_cpu,
        datapath_cpu: load.datapath_cpu,
        resident_bytes: load.resident_bytes,
        nanoseconds_per_packet: load.ns_per_packet,
        sweep_time: sweep_time.map(duration),
    }
}

fn program(program: ProgramCost) -> api::Program {
    api::Program {
        id: program.id,
        measured_runs: program.runs,
        measured_time: Some(duration(Duration::from_nanos(program.run_ns))),
        memory_bytes: program.bytes,
        name: program.name,
    }
}

fn map(map: MapCost) -> api::Map {
    let kind = KINDS.iter().find(|(number, _)| *number == map.kind);
    api::Map {
        kind: kind.map_or_else(|| map.kind.to_string(), |(_, name)| (*name).into()),
        bytes: map.bytes,
        max_entries: map.max_entries,
        name: map.name,
    }
}

pub(super) fn budget(budget: Budget, load: Load) -> api::Budget {
    api::Budget {
        limit: budget.limit,
        used: load.daemon_cpu + load.datapath_cpu,
        step: budget.step,
        last_step: budget.last_step,
        active_interval: Some(duration(budget.active_interval)),
        sampling: budget.sampling,
        since: Some(budget.since.into()),
        raised: budget.raised,
        lowered: budget.lowered,
    }
}
