//! Micro-benchmarks of the hot parts: decode, from ring to store, store, filter,
//! mask, encode. `cargo bench --package sextantd`.
#![expect(clippy::unwrap_used, reason = "fixed input")]

mod input;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sextantd::{
    decode::{Link, decode},
    filter::Filters,
    flow::{sketch::Sieve, wire::encode},
    service::{mask::Mask, put_flow},
    store::{Event, Ring, Run},
};
use std::{hint::black_box, ops::ControlFlow};

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
            while cursor.run(&sieve, |event| {
                black_box(event);
                ControlFlow::Continue(())
            }) != Run::Empty
            {}
        });
    });
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
                while cursor.run(&sieve, |event| {
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

criterion_group!(
    benches,
    from_ring_to_store,
    packets,
    store,
    filters,
    scan,
    wire
);
criterion_main!(benches);
