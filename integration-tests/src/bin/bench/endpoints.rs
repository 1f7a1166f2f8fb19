//! Apply of a thousand policies over a thousand endpoints, each behind an interface of its
//! own and selected by one of them, with peers among the others.

use std::{fmt::Write as _, time::Instant};

use anyhow::ensure;
use sextant_integration_tests::{Daemon, Netns, root};
use sextant_proto::sextant::policy::v1::{Document, SetStatus};

use crate::{
    Bench,
    report::{Figure, Goal, Samples},
    rules,
};

const ENDPOINTS: usize = 1000;
/// Endpoints that are each other's peers.
const TEAM: usize = 10;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    if !root() {
        bench.report.skip("endpoints: needs root");
        return Ok(());
    }
    let namespace = Netns::new();
    namespace.run(&format!(
        "for i in $(seq 0 {}); do echo link add e$i type veth peer name p$i; echo link set e$i up; echo link set p$i up; done | ip -batch -",
        ENDPOINTS - 1
    ));
    let (mut first, mut again) = (Samples::default(), Samples::default());
    let mut kernel = Samples::default();
    for _ in 0..bench.runs() {
        let daemon = Daemon::start_binary(
            &bench.options.sextantd,
            &namespace,
            &inventory(),
            &["--interface", "e*"],
        );
        let (took, status) = apply(&daemon, 1000)?;
        first.0.push(took);
        kernel.0.push(status.map_bytes as f64 / 1_048_576.0);
        again.0.push(apply(&daemon, 2000)?.0);
    }
    for (what, unit, sextant, goal) in [
        ("all new", "s", first, Some(1.0)),
        ("all changed", "s", again, Some(1.0)),
        ("what they take in the kernel", "MiB", kernel, None),
    ] {
        bench.report.add(Figure {
            scenario: "endpoints",
            what: format!("Apply of {ENDPOINTS} policies over as many endpoints, {what}"),
            unit,
            sextant,
            hubble: None,
            goal: goal.map(Goal::AtMost),
        });
    }
    Ok(())
}

fn inventory() -> String {
    (0..ENDPOINTS).fold(String::new(), |mut text, n| {
        let _ = write!(
            text,
            "[[endpoint]]\nnamespace = \"shop\"\nname = \"e{n}\"\nlabels = [\"k8s:app=a{n}\", \"k8s:team=t{}\"]\n\
             addresses = [\"10.8.{}.{}\"]\ninterfaces = [\"e{n}\"]\n",
            n / TEAM,
            n >> 8,
            n & 255
        );
        text
    })
}

/// Seconds until the answer, which comes once they are in force.
fn apply(daemon: &Daemon, port: usize) -> anyhow::Result<(f64, SetStatus)> {
    let document = |n: usize| Document {
        name: String::new(),
        text: format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p{n}, namespace: shop}}\n\
             spec:\n  endpointSelector: {{matchLabels: {{app: a{n}}}}}\n  ingress:\n  \
             - fromEndpoints: [{{matchLabels: {{team: t{}}}}}]\n    \
             toPorts: [{{ports: [{{port: \"{}\", protocol: TCP}}]}}]\n  egress:\n  - toCIDR: [10.0.0.0/8]\n",
            n / TEAM,
            port + n
        ),
    };
    let documents: Vec<_> = (0..ENDPOINTS).map(document).collect();
    let began = Instant::now();
    let status = rules::apply(daemon, &documents, ENDPOINTS)?;
    let took = began.elapsed().as_secs_f64();
    ensure!(
        status.selected_endpoints == ENDPOINTS as u64,
        "{} of {ENDPOINTS} endpoints are selected",
        status.selected_endpoints
    );
    Ok((took, status))
}
