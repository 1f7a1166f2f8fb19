//! Our programs as filters of a clsact qdisc: put on an interface, replaced, taken off.

use std::io;

use super::{AttachError, DIRECTIONS, Hold, OURS, Program};
use crate::datapath::{clsact, netlink::Requests, tcx::Direction};

/// What filters are put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Qdisc {
    /// `clsact`, made by us.
    Ours,
    /// `clsact` of somebody.
    Another,
    /// `ingress` of somebody.
    IngressAlone,
}

/// Filters of an earlier process are removed, or with `replaces` are those that are
/// replaced.
pub(super) fn put_filters(
    requests: &mut Requests,
    index: u32,
    programs: &[Program; 2],
    replaces: bool,
) -> Result<(Hold, Option<AttachError>), AttachError> {
    let old = match replaces {
        true => filters_of_ours(requests, index, programs),
        false => None,
    };
    let was_ours = old.is_some() || remove_stale(requests, index);
    let qdisc = qdisc(requests, index)?;
    let ingress_alone = qdisc == Qdisc::IngressAlone;
    let owns_qdisc = qdisc == Qdisc::Ours || was_ours && !ingress_alone;
    for (direction, program) in DIRECTIONS.into_iter().zip(programs) {
        if ingress_alone && direction == Direction::Egress {
            continue;
        }
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
    let lack = ingress_alone.then_some(AttachError::IngressAlone);
    Ok((Hold::Clsact { owns_qdisc }, lack))
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

/// The one that is there, or a new one.
pub(super) fn qdisc(requests: &mut Requests, index: u32) -> Result<Qdisc, AttachError> {
    let added = clsact::add_qdisc(requests, index).map_err(|error| {
        AttachError::new("adding the clsact qdisc", error)
            .or_no_module("clsact qdisc", "sch_ingress")
    });
    if added? {
        return Ok(Qdisc::Ours);
    }
    match clsact::is_ingress_alone(requests, index) {
        Ok(true) => Ok(Qdisc::IngressAlone),
        Ok(false) => Ok(Qdisc::Another),
        Err(error) => Err(AttachError::new("asking which qdisc there is", error)),
    }
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
