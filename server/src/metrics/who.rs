//! Who is behind flows: identities, processes, engines of containers.

use std::fmt;

use prometheus_client::{encoding::EncodeMetric as _, metrics::gauge::ConstGauge};

use super::Page;
use crate::{
    containers::{Containers, EngineStatus},
    identity::NumberCounts,
    kubernetes::{KindStatus, Kubernetes, WatchState},
    process::ProcessCounts,
};

impl Page<'_> {
    pub(super) fn identities(&mut self, counts: &NumberCounts) -> fmt::Result {
        self.gauge(
            "identities",
            "Label sets that have an identity",
            counts.kept() as f64,
        )?;
        let fates = [
            ("forgotten", counts.forgotten()),
            ("refused", counts.refused()),
        ];
        self.counters(
            "identities_lost",
            "Label sets whose identity was given up for others, or that got none, for want of room",
            fates.map(|(fate, count)| ([("fate", fate)], count)),
        )
    }

    pub(super) fn processes(&mut self, counts: &ProcessCounts) -> fmt::Result {
        self.gauge(
            "processes",
            "Processes behind flows that are known",
            counts.known() as f64,
        )?;
        let fates = [
            ("looked_up", counts.looked_up()),
            ("not_found", counts.not_found()),
            ("forgotten", counts.forgotten()),
            ("command_line_unread", counts.command_lines_unread()),
        ];
        self.counters(
            "processes_not_told",
            "Processes that the kernel did not tell, by what became of them; those that were forgotten, or whose command line was not read, for want of room",
            fates.map(|(fate, count)| ([("fate", fate)], count)),
        )?;
        let sides = counts.sides();
        let sides = [
            ("process", sides.process),
            ("unknown", sides.unknown),
            ("no_socket", sides.no_socket),
            ("elsewhere", sides.elsewhere),
        ];
        self.counters(
            "flow_sides",
            "Sides of flows that ended, by who was behind them",
            sides.map(|(who, count)| ([("who", who)], count)),
        )
    }

    pub(super) fn engines(&mut self, containers: &Containers) -> fmt::Result {
        let engines = containers.engines();
        let of = |value: fn(&EngineStatus) -> u64| {
            let named = |engine: &EngineStatus| (engine.socket.to_string(), value(engine));
            engines.iter().map(named).collect::<Vec<_>>()
        };
        let known = of(|engine| engine.containers);
        let mut family = self.family(
            "engine_containers",
            "Containers that an engine named",
            ConstGauge::new(0_i64).metric_type(),
        )?;
        for (socket, count) in &known {
            let labels = [("socket", socket.as_str())];
            ConstGauge::new(*count as i64).encode(family.encode_family(&labels)?)?;
        }
        for (name, help, values) in [
            (
                "engine_failures",
                "Sessions with an engine of containers that ended or did not begin",
                of(|engine| engine.failures),
            ),
            (
                "engine_containers_left_out",
                "Containers of an engine that found no room",
                of(|engine| engine.left_out),
            ),
        ] {
            let values = values
                .iter()
                .map(|(socket, value)| ([("socket", socket.as_str())], *value));
            self.counters(name, help, values)?;
        }
        Ok(())
    }

    pub(super) fn kubernetes(&mut self, cluster: &Kubernetes) -> fmt::Result {
        let kinds = cluster.kinds();
        for (name, help, value) in [
            (
                "kubernetes_up",
                "Whether a kind of objects of Kubernetes is known and followed",
                (|kind| i64::from(kind.state == WatchState::Following)) as fn(&KindStatus) -> i64,
            ),
            (
                "kubernetes_objects",
                "Objects of Kubernetes that are known",
                |kind| kind.objects as i64,
            ),
            (
                "kubernetes_objects_left_out",
                "Objects of Kubernetes that found no room since the last list",
                |kind| kind.left_out as i64,
            ),
        ] {
            let mut family = self.family(name, help, ConstGauge::new(0_i64).metric_type())?;
            for kind in &kinds {
                let labels = [("kind", kind.kind.name())];
                ConstGauge::new(value(kind)).encode(family.encode_family(&labels)?)?;
            }
        }
        let failures = kinds.iter();
        let failures = failures.map(|kind| ([("kind", kind.kind.name())], kind.failures));
        self.counters(
            "kubernetes_failures",
            "Lists and watches of Kubernetes that failed",
            failures,
        )
    }
}
