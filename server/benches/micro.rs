//! Micro-benchmarks of the hot parts: decode, from ring to store, store, filter,
//! mask, encode. `cargo bench --package sextantd`.
#![expect(clippy::unwrap_used, reason = "fixed input")]

mod input;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sextant_policy::{
    document::{Written, written},
    endpoint::Endpoint,
    set::Enforcement,
};
use sextantd::{
    decode::{Link, decode},
    filter::Filters,
    flow::{Time, sketch::Sieve, wire::encode},
    mask::Mask,
    metrics::CustomMetrics,
    policy::{enforce::Mode, entry::Entry, rulebook::Rulebook},
    service::put_flow,
    store::{Event, Ring, Run},
};
use std::{hint::black_box, ops::ControlFlow, sync::Arc};

/// Events handed on at once, as the reader does.
const BATCH: u64 = 4096;

fn from_ring_to_store(c: &mut Criterion) {
    let mut group = c.benchmark_group("observe");
    group.throughput(Throughput::Elements(BATCH));
    let batch = input::batch(BATCH);
    let mut pipeline = input::pipeline(131_071);
    group.bench_function("from ring to store", |b| {
        b.iter(|| pipeline.observe(black_box(&batch)));
    });
    group.finish();
}

fn packets(c: &mut Criterion) {
    let frame = input::frame();
    c.bench_function("decode a packet of a capture", |b| {
        b.iter(|| decode(Link::Ethernet, black_box(&frame)));
    });
}

fn store(c: &mut Criterion) {
    let mut group = c.benchmark_group("store");
    let flows = input::flows(BATCH);
    group.throughput(Throughput::Elements(BATCH));
    let (ring, mut writer) = Ring::new(131_071);
    group.bench_function("push", |b| {
        b.iter(|| writer.push(flows.iter().cloned().map(Event::Flow)));
    });
    let sieve = Sieve::default();
    group.bench_function("read", |b| {
        b.iter(|| {
            let mut cursor = ring.cursor_at(ring.next_seq() - BATCH);
            while cursor.run(&sieve, |_, event| {
                black_box(event);
                ControlFlow::Continue(())
            }) != Run::Empty
            {}
        });
    });
    group.finish();
}

/// A flow in a counter with two labels, and in one of bytes.
fn custom_metrics(c: &mut Criterion) {
    let events: Vec<_> = input::flows(BATCH).into_iter().map(Event::Flow).collect();
    let mut group = c.benchmark_group("custom metrics");
    group.throughput(Throughput::Elements(BATCH));
    for (name, value) in [("flows", "flows"), ("bytes", "bytes")] {
        let config = format!(
            "[[metrics.custom]]\nname = 'm'\nhelp = 'H'\ntype = 'counter'\nvalue = '{value}'\n\
             labels = {{ namespace = 'source.namespace', verdict = 'verdict' }}"
        );
        let settings = sextantd::config::parse(&config).unwrap().custom;
        let metrics = CustomMetrics::new(&settings).unwrap();
        group.bench_function(name, |b| {
            b.iter(|| events.iter().for_each(|event| metrics.see(event)));
        });
    }
    group.finish();
}

fn filters(c: &mut Criterion) {
    let flows = input::flows(BATCH);
    let mut group = c.benchmark_group("filter");
    group.throughput(Throughput::Elements(BATCH));
    for (name, filter) in input::filters() {
        let mut filters = Filters::compile(&[filter], &[]).unwrap();
        group.bench_function(name, |b| {
            b.iter(|| {
                flows
                    .iter()
                    .filter(|flow| filters.matches(flow).unwrap())
                    .count()
            });
        });
    }
    group.finish();
}

/// A ring larger than the caches, as a request scans it.
fn scan(c: &mut Criterion) {
    const FLOWS: u64 = 65_535;
    let (ring, mut writer) = Ring::new(FLOWS);
    writer.push(input::flows(FLOWS).into_iter().map(Event::Flow));
    let mut group = c.benchmark_group("scan");
    group.throughput(Throughput::Elements(FLOWS));
    for (name, filter) in input::filters() {
        let mut filters = Filters::compile(&[filter], &[]).unwrap();
        let sieve = filters.sieve().clone();
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut found = 0;
                let mut cursor = ring.cursor_at(ring.oldest_seq());
                while cursor.run(&sieve, |_, event| {
                    let flow = event.as_flow();
                    found += u64::from(flow.is_some_and(|flow| filters.matches(flow).unwrap()));
                    ControlFlow::Continue(())
                }) != Run::Empty
                {}
                found
            });
        });
    }
    group.finish();
}

fn wire(c: &mut Criterion) {
    let flows = input::flows(BATCH);
    let mask = Mask::compile(&input::cli_mask()).unwrap();
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(BATCH));
    let (mut out, mut scratch) = (Vec::new(), Vec::new());
    group.bench_function("flow", |b| {
        b.iter(|| {
            out.clear();
            for flow in &flows {
                encode(black_box(flow), &mut out);
            }
            out.len()
        });
    });
    group.bench_function("response with the CLI's mask", |b| {
        b.iter(|| {
            out.clear();
            for flow in &flows {
                put_flow(black_box(flow), mask.as_ref(), &mut scratch, &mut out);
            }
            out.len()
        });
    });
    group.finish();
}

/// Both ends of a connection, by a thousand policies of which one is about each.
fn policies(c: &mut Criterion) {
    let document = |number| {
        format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p{number}, namespace: shop}}\n\
             spec:\n  endpointSelector: {{matchLabels: {{app: a{number}}}}}\n  ingress:\n  \
             - fromEndpoints: [{{matchLabels: {{app: b{number}}}}}]\n    \
             toPorts: [{{ports: [{{port: \"80\", protocol: TCP}}]}}]\n  egress:\n  - toCIDR: [10.0.0.0/8]\n"
        )
    };
    let entry = |written: Written| {
        let entry = Entry {
            policy: written.policy.clone().into(),
            document: written.document,
            mode: Mode::Enforce,
            revision: 1,
            created: Time::default(),
            updated: Time::default(),
            bytes: 0,
        };
        (written.policy.id, Arc::new(entry))
    };
    let entries = (0..1000).flat_map(|number| written(&document(number)).unwrap());
    let rulebook = Rulebook::new(&entries.map(entry).collect(), Enforcement::Default);
    let end = |app: &str| {
        let labels = [app, "k8s:io.kubernetes.pod.namespace=shop"];
        Endpoint::new(labels.into_iter().collect())
    };
    let (client, server) = (end("k8s:app=b7"), end("k8s:app=a7"));
    c.bench_function("judge both ends by 1,000 policies", |b| {
        b.iter(|| black_box(rulebook.judge_ends(black_box(&client), &server, 6, 80)[1].0));
    });
}

criterion_group!(
    benches,
    policies,
    custom_metrics,
    from_ring_to_store,
    packets,
    store,
    filters,
    scan,
    wire
);
criterion_main!(benches);
