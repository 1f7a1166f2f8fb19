//! Our programs as filters of a clsact qdisc: put on an interface, replaced, taken off.

use std::io;

use super::{AttachError, DIRECTIONS, OURS, Program};
use crate::datapath::{clsact, netlink::Requests, tcx::Direction};

/// Tells whether the qdisc is ours. Filters of an earlier process are removed, or with
/// `replaces` are those that are replaced.
pub(super) fn put_filters(
    requests: &mut Requests,
    index: u32,
    programs: &[Program; 2],
    replaces: bool,
) -> Result<bool, AttachError> {
    let old = match replaces {
        true => filters_of_ours(requests, index, programs),
        false => None,
    };
    let was_ours = old.is_some() || remove_stale(requests, index);
    let owns_qdisc = add_qdisc(requests, index)? || was_ours;
    for (direction, program) in DIRECTIONS.into_iter().zip(programs) {
        let old = old.as_ref().map(|old| &old[direction as usize]);
        if let Err(error) = put_filter(requests, index, direction, program, old) {
            // Nothing is left of what was half done.
            let _ = take_filters_off(requests, index, programs);
            if owns_qdisc {
                let _ = clsact::remove_if_empty(requests, index);
            }
            return Err(error);
        }
    }
    Ok(owns_qdisc)
}

/// Those of an earlier process, if both are there.
fn filters_of_ours(
    requests: &mut Requests,
    index: u32,
    programs: &[Program; 2],
) -> Option<[clsact::Filter; 2]> {
    let mut of = |direction: Direction| {
        let filters = clsact::filters(requests, index, direction).ok()?;
        let name = programs[direction as usize].name;
        filters.into_iter().find(|filter| filter.name == name)
    };
    Some([of(Direction::Ingress)?, of(Direction::Egress)?])
}

pub(super) fn add_qdisc(requests: &mut Requests, index: u32) -> Result<bool, AttachError> {
    clsact::add_qdisc(requests, index).map_err(|error| {
        AttachError::new("adding the clsact qdisc", error)
            .or_no_module("clsact qdisc", "sch_ingress")
    })
}

pub(super) fn put_filter(
    requests: &mut Requests,
    index: u32,
    direction: Direction,
    program: &Program,
    old: Option<&clsact::Filter>,
) -> Result<(), AttachError> {
    let put = match old {
        Some(old) => clsact::replace(requests, index, direction, program, old),
        None => clsact::attach(requests, index, direction, program),
    };
    put.map_err(|error| {
        AttachError::new("adding a filter to the clsact qdisc", error)
            .or_no_module("filter for eBPF programs", "cls_bpf")
    })
}

pub(super) fn take_filters_off(
    requests: &mut Requests,
    index: u32,
    programs: &[Program; 2],
) -> io::Result<()> {
    for (direction, program) in DIRECTIONS.into_iter().zip(programs) {
        clsact::detach(requests, index, direction, |filter| {
            filter.program == Some(program.id)
        })?;
    }
    Ok(())
}

/// Removes filters that an earlier process left behind; tells whether there
/// were any.
fn remove_stale(requests: &mut Requests, index: u32) -> bool {
    let mut found = false;
    for direction in DIRECTIONS {
        let is_ours = |filter: &clsact::Filter| filter.name.starts_with(OURS);
        let removed = clsact::detach(requests, index, direction, is_ours).unwrap_or(0);
        if removed > 0 {
            tracing::info!(
                index,
                ?direction,
                removed,
                "removed a filter left by an earlier run"
            );
            found = true;
        }
    }
    found
}
