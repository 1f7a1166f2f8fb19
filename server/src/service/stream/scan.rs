//! A look at all stored flows that a selection lets see, in turns.

use std::ops::ControlFlow;

use super::turn::Turn;
use crate::{
    flow::Flow,
    selection::Selection,
    service::error::RequestError,
    store::{Event, Ring, Run},
};

/// Shows each of them once, the oldest first, up to what is stored now.
///
/// # Errors
///
/// The selection takes too much to be judged.
pub(in crate::service) async fn scan(
    ring: &Ring,
    selection: &mut Selection,
    mut see: impl FnMut(&Flow),
) -> Result<(), RequestError> {
    let sieve = selection.sieve().clone();
    let is_slow = selection.is_slow();
    let mut cursor = ring.cursor_at(ring.oldest_seq());
    let end = ring.next_seq();
    let mut turn = Turn::begin();
    while cursor.seq() < end {
        let mut overrun = None;
        let run = cursor.run(&sieve, |event| {
            let Event::Flow(flow) = event else {
                return ControlFlow::Continue(());
            };
            match selection.show(flow) {
                Ok(Some(flow)) => see(&flow),
                Ok(None) => {}
                Err(error) => overrun = Some(error),
            }
            match overrun.is_some() || is_slow && turn.is_over() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        if let Some(overrun) = overrun {
            return Err(overrun.into());
        }
        if run == Run::Empty {
            break;
        }
        turn.pass_on().await;
    }
    Ok(())
}
