//! What it costs to compile sets of policies, and to evaluate a connection by what was
//! compiled: `cargo bench -p sextant-policy`.

use std::{collections::HashMap, hint::black_box, net::Ipv4Addr};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ipnet::IpNet;
use sextant_policy::{
    compile::{Limits, Reasons, Sets, Tables, World, compile},
    document,
    endpoint::Endpoint,
    policy::{Direction, Policy, PolicyId},
    set::{Enforcement, PolicySet},
};

/// Endpoints, and policies of which each is about one of them.
const ENDPOINTS: u32 = 1_000;
/// Rules of the host, and networks in them.
const RULES: u32 = 10_000;
const NETWORKS: u32 = 50_000;

/// What there is to compile.
struct Case {
    set: PolicySet,
    revisions: HashMap<PolicyId, u64>,
    addresses: Vec<(IpNet, Endpoint)>,
    subjects: Vec<Endpoint>,
}

impl Case {
    fn new(policies: Vec<Policy>, addresses: Vec<(IpNet, Endpoint)>) -> Self {
        let revisions = policies.iter().map(|policy| (policy.id.clone(), 1));
        Self {
            revisions: revisions.collect(),
            set: PolicySet::new(policies, Enforcement::Default),
            subjects: addresses.iter().map(|(_, one)| one.clone()).collect(),
            addresses,
        }
    }

    fn compile(&self, reasons: &mut Reasons) -> Tables {
        let sets = Sets {
            enforced: &self.set,
            with_audit: &self.set,
            revisions: &self.revisions,
        };
        let world = World {
            addresses: &self.addresses,
            subjects: &self.subjects,
            peers: &[],
        };
        match compile(&sets, &world, reasons, &Limits::default()) {
            Ok(tables) => tables,
            Err(error) => panic!("{error}"),
        }
    }
}

fn parsed(documents: impl Iterator<Item = String>) -> Vec<Policy> {
    let parse = |text: String| match document::parse(&text) {
        Ok(policies) => policies,
        Err(problems) => panic!("{problems}"),
    };
    documents.flat_map(parse).collect()
}

fn endpoint(labels: &[&str]) -> Endpoint {
    Endpoint::new(labels.iter().copied().collect())
}

fn apps() -> Vec<(IpNet, Endpoint)> {
    let app = |n: u32| {
        let address = Ipv4Addr::from(0x0a00_0000 + n);
        let app = format!("k8s:app=app-{n}");
        let tier = format!("k8s:tier=t{}", n % 10);
        let labels = [&app, &tier, "k8s:io.kubernetes.pod.namespace=shop"];
        (
            IpNet::from(std::net::IpAddr::from(address)),
            endpoint(&labels),
        )
    };
    (0..ENDPOINTS).map(app).collect()
}

/// A policy for each of the endpoints, which lets in these peers.
fn policies_of_apps(from: impl Fn(u32) -> String) -> Case {
    let policy = |n: u32| {
        format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: app-{n}, namespace: shop}}\n\
             spec:\n  endpointSelector: {{matchLabels: {{app: app-{n}}}}}\n  \
             ingress: [{{{}, toPorts: [{{ports: [{{port: '80', protocol: TCP}}, {{port: '443', protocol: TCP}}]}}]}}]\n  \
             egress: [{{toEndpoints: [{{matchLabels: {{app: app-{}}}}}], toPorts: [{{ports: [{{port: '80', protocol: TCP}}]}}]}}, \
             {{toCIDR: [198.51.{}.0/24]}}, {{toPorts: [{{ports: [{{port: '53', protocol: UDP}}]}}]}}]\n",
            from(n),
            (n + 1) % ENDPOINTS,
            n % 256,
        )
    };
    Case::new(parsed((0..ENDPOINTS).map(policy)), apps())
}

/// The host's rules, with networks as in routing tables.
fn rules_of_networks() -> Case {
    let policy = |n: u32| {
        let rules = (0..100).map(|rule| {
            let rule = n * 100 + rule;
            let nets = (0..NETWORKS / RULES).map(|net| {
                let net = rule * (NETWORKS / RULES) + net;
                let length = [24, 24, 22, 32, 20][net as usize % 5];
                format!("{}/{length}", Ipv4Addr::from(net.wrapping_mul(0x0001_3579)))
            });
            let nets: Vec<_> = nets.collect();
            format!(
                "{{toCIDR: [{}], toPorts: [{{ports: [{{port: '{}', protocol: TCP}}]}}]}}",
                nets.join(", "),
                1 + rule % 60_000
            )
        });
        let rules: Vec<_> = rules.collect();
        format!(
            "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: host-{n}}}\n\
             spec:\n  nodeSelector: {{}}\n  egress: [{}]\n",
            rules.join(", ")
        )
    };
    let host = (
        IpNet::from(std::net::IpAddr::from([192, 0, 2, 1])),
        endpoint(&["reserved:host"]),
    );
    Case::new(parsed((0..RULES / 100).map(policy)), vec![host])
}

fn compiling(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("compile");
    group.sample_size(10);
    for (name, case) in [
        (
            "1,000 policies, 1,000 endpoints",
            policies_of_apps(|n| {
                format!("fromEndpoints: [{{matchLabels: {{tier: t{}}}}}]", n % 10)
            }),
        ),
        (
            "1,000 policies, 1,000 endpoints, from one each",
            policies_of_apps(|n| {
                format!("fromEndpoints: [{{matchLabels: {{app: app-{}}}}}]", n / 2)
            }),
        ),
        (
            "1,000 policies, 1,000 endpoints, from the cluster",
            policies_of_apps(|_| "fromEntities: [cluster]".into()),
        ),
        ("10,000 rules, 50,000 networks", rules_of_networks()),
    ] {
        let tables = case.compile(&mut Reasons::default());
        println!(
            "{name}: {} entries in {} places, {} scopes, {} + {} ranges, {} bytes",
            tables.taken,
            tables.entries.len(),
            tables.scopes,
            tables.ranges4.len(),
            tables.ranges6.len(),
            tables.bytes(),
        );
        group.bench_function(format!("{name}, first"), |bench| {
            bench.iter_batched(
                Reasons::default,
                |mut reasons| case.compile(&mut reasons),
                BatchSize::PerIteration,
            );
        });
        let mut reasons = Reasons::default();
        group.bench_function(format!("{name}, again"), |bench| {
            bench.iter(|| case.compile(&mut reasons));
        });
    }
}

fn evaluating(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("evaluate");
    group.throughput(Throughput::Elements(1));
    for (name, case) in [
        (
            "1,000 policies, 1,000 endpoints",
            policies_of_apps(|n| {
                format!("fromEndpoints: [{{matchLabels: {{tier: t{}}}}}]", n % 10)
            }),
        ),
        ("10,000 rules, 50,000 networks", rules_of_networks()),
    ] {
        let tables = case.compile(&mut Reasons::default());
        let subjects = tables.subjects.len() as u32;
        let mut n = 0_u32;
        group.bench_function(name, |bench| {
            bench.iter(|| {
                n = n.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
                let class = tables.class_of(Ipv4Addr::from(n).into());
                let port = (n >> 8) as u16;
                black_box(tables.judge(n % subjects, Direction::Egress, class, 6, port))
            });
        });
    }
}

criterion_group!(benches, compiling, evaluating);
criterion_main!(benches);
