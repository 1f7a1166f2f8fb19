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
    let is_slow = selection.is_slow();
    let see = |flow: &Flow| {
        see(flow);
        Ok(())
    };
    scan_until(ring, selection, is_slow, see).await
}

/// The same where a look at one flow may take long, and can end it.
///
/// # Errors
///
/// As `scan`, or that of a look.
pub(in crate::service) async fn scan_slowly(
    ring: &Ring,
    selection: &mut Selection,
    see: impl FnMut(&Flow) -> Result<(), RequestError>,
) -> Result<(), RequestError> {
    scan_until(ring, selection, true, see).await
}

async fn scan_until(
    ring: &Ring,
    selection: &mut Selection,
    is_slow: bool,
    mut see: impl FnMut(&Flow) -> Result<(), RequestError>,
) -> Result<(), RequestError> {
    let sieve = selection.sieve().clone();
    let mut cursor = ring.cursor_at(ring.oldest_seq());
    let end = ring.next_seq();
    let mut turn = Turn::begin();
    while cursor.seq() < end {
        let mut seen = Ok(());
        let run = cursor.run(&sieve, |_, event| {
            let Event::Flow(flow) = event else {
                return ControlFlow::Continue(());
            };
            seen = match selection.show(flow) {
                Ok(Some(flow)) => see(&flow),
                Ok(None) => Ok(()),
                Err(overrun) => Err(overrun.into()),
            };
            match seen.is_err() || is_slow && turn.is_over() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        seen?;
        if run == Run::Empty {
            break;
        }
        turn.pass_on().await;
    }
    Ok(())
}
