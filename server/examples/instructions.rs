//! Runs one hot part on fixed input, so often as is asked for: what callgrind
//! counts the instructions of. `instructions PART ROUNDS`; the guard is
//! `integration-tests/tests/instructions.rs`.

#[path = "../benches/input/mod.rs"]
mod input;

use std::hint::black_box;

use sextantd::{
    decode::{Link, decode},
    filter::Filters,
    flow::wire::encode,
    mask::Mask,
    service::put_flow,
};

/// Flows or events of one round.
const COUNT: u64 = 1024;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().unwrap_or_default();
    let rounds: u32 = arguments.next().unwrap_or_default().parse()?;
    let mut run = part_by_name(&part)?;
    for _ in 0..rounds {
        run();
    }
    Ok(())
}

fn part_by_name(part: &str) -> anyhow::Result<Box<dyn FnMut()>> {
    Ok(match part {
        "decode" => {
            let frame = input::frame();
            Box::new(move || {
                for _ in 0..COUNT {
                    let _ = black_box(decode(Link::Ethernet, black_box(&frame)));
                }
            })
        }
        "observe" => {
            let (batch, mut pipeline) = (input::batch(COUNT), input::pipeline(COUNT * 4));
            Box::new(move || pipeline.observe(black_box(&batch)))
        }
        "filter" => {
            let flows = input::flows(COUNT);
            let filters = input::filters().into_iter().map(|(_, filter)| filter);
            let mut filters = Filters::compile(&filters.collect::<Vec<_>>(), &[])?;
            Box::new(move || {
                black_box(
                    flows
                        .iter()
                        .filter(|flow| filters.matches(flow) == Ok(true))
                        .count(),
                );
            })
        }
        "encode" => {
            let (flows, mut out) = (input::flows(COUNT), Vec::new());
            Box::new(move || {
                out.clear();
                flows
                    .iter()
                    .for_each(|flow| encode(black_box(flow), &mut out));
            })
        }
        "mask" => {
            let (flows, mask) = (input::flows(COUNT), Mask::compile(&input::cli_mask())?);
            let (mut out, mut scratch) = (Vec::new(), Vec::new());
            Box::new(move || {
                out.clear();
                for flow in &flows {
                    put_flow(black_box(flow), mask.as_ref(), &mut scratch, &mut out);
                }
            })
        }
        other => anyhow::bail!("no part {other:?}; there are decode observe filter encode mask"),
    })
}
