//! The hook of one interface: puts our programs on it, looks what is on it,
//! takes them off. By TCX or by clsact; who calls does not tell them apart.
//!
//! TCX concerns the network namespace of the calling thread, clsact goes
//! through a socket of it.

mod filters;

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use sextant_ebpf_common::interface_parts;

use filters::{Qdisc, put_filter, put_filters, qdisc, take_filters_off};

use super::{
    clsact,
    netlink::{Access, Requests},
    pins::Pins,
    program::{Program, Programs},
    shortage::{is_exhausted, remedy},
    tcx::{self, Direction},
};

/// Both directions, in the order of `InterfaceTotals`.
pub(super) const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];
/// What the names of our programs, and of no others, begin with.
const OURS: &str = "sextant_";

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// TCX link.
    Tcx,
    /// Filter on a clsact qdisc.
    Clsact,
}

impl Hook {
    /// Name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// Why programs are not on an interface.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttachError {
    /// No module, or it may not be loaded.
    #[error(
        "this kernel has no {what} (module {module}), which stands in for TCX before 6.6; install it, often in a package of further modules of this kernel, or use a later kernel"
    )]
    NoModule {
        what: &'static str,
        module: &'static str,
    },
    /// Two processes would take each other's filters for stale ones.
    #[error("another sextantd is attached by clsact in its network namespace")]
    Busy,
    /// It, or its network namespace, went meanwhile.
    #[error("it is gone")]
    Gone,
    /// Half of the interface.
    #[error(
        "an `ingress` qdisc is on it, which has no place for what is sent: that is not observed; put `clsact` there instead, which takes the same filters (`tc qdisc replace dev NAME clsact`)"
    )]
    IngressAlone,
    /// Put on and gone at once.
    #[error("somebody takes the program off again and again")]
    TakenOff,
    /// It is tried again.
    #[error("{action} failed: {source}; {}", remedy(source))]
    Exhausted {
        action: &'static str,
        source: io::Error,
    },
    /// Everything else.
    #[error("{action} failed: {source}")]
    System {
        action: &'static str,
        source: io::Error,
    },
}

impl AttachError {
    fn new(action: &'static str, source: io::Error) -> Self {
        if is_gone(&source) {
            return Self::Gone;
        }
        if is_exhausted(&source) {
            return Self::Exhausted { action, source };
        }
        Self::System { action, source }
    }

    /// The network namespace was not entered.
    pub(super) fn not_entered(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            return Self::Gone;
        }
        let number = error.raw_os_error().map(io::Error::from_raw_os_error);
        let source = number.unwrap_or_else(|| io::Error::other(error.to_string()));
        Self::new("entering its network namespace", source)
    }

    /// What is on the interface cannot be told.
    pub(super) fn not_verified(source: io::Error) -> Self {
        Self::new("looking what is attached", source)
    }

    /// The kernel finds no such module.
    fn or_no_module(self, what: &'static str, module: &'static str) -> Self {
        match self {
            Self::System { source, .. } if source.raw_os_error() == Some(libc::ENOENT) => {
                Self::NoModule { what, module }
            }
            other => other,
        }
    }
}

/// Our programs on an interface; those of TCX go when it is dropped.
#[derive(Debug)]
pub(super) enum Hold {
    /// One link each direction; none where it could not be put again.
    Tcx([Option<OwnedFd>; 2]),
    /// Filters.
    Clsact {
        /// The qdisc is ours.
        owns_qdisc: bool,
    },
}

/// A program on a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OnHook {
    /// Its number; none for a filter that is no program.
    pub(super) id: Option<u32>,
    /// Its name, if that can be read.
    name: Option<String>,
}

impl OnHook {
    /// A program that may hide packets: not one of a sextantd.
    pub(super) fn is_foreign(&self) -> bool {
        !self
            .name
            .as_ref()
            .is_some_and(|name| name.starts_with(OURS))
    }

    /// For people.
    pub(super) fn label(&self) -> String {
        match (&self.name, self.id) {
            (Some(name), _) if !name.is_empty() => name.clone(),
            (_, Some(id)) => format!("program {id}"),
            _ => "a filter".into(),
        }
    }
}

/// Whether this kernel has TCX.
pub(super) fn has_tcx(programs: &Programs) -> bool {
    tcx::is_there(programs.ethernet[0].fd.as_fd())
}

/// Puts the programs on an interface, in both directions or in none; with `pins` in the
/// place of those of the daemon before. Tells too why not all of it is observed.
pub(super) fn put(
    hook: Hook,
    access: &Access,
    interface: u32,
    programs: &[Program; 2],
    pins: Option<&Pins>,
) -> Result<(Hold, Option<AttachError>), AttachError> {
    match hook {
        Hook::Tcx => {
            let on = |place: usize| put_tcx(interface, DIRECTIONS[place], &programs[place], pins);
            Ok((Hold::Tcx([Some(on(0)?), Some(on(1)?)]), None))
        }
        Hook::Clsact => {
            let put = |requests: &mut Requests, index| {
                Ok(put_filters(requests, index, programs, pins.is_some()))
            };
            let asked = access.ask(interface, put);
            let failed = |error| AttachError::new("asking for the interface", error);
            asked.map_err(failed).flatten()
        }
    }
}

impl Hold {
    /// Puts one program on the interface again, before all others.
    pub(super) fn put_again(
        &mut self,
        access: &Access,
        interface: u32,
        direction: Direction,
        program: &Program,
        pins: Option<&Pins>,
    ) -> Result<(), AttachError> {
        match self {
            Self::Tcx(links) => {
                let link = &mut links[direction as usize];
                // First the old one: with both, packets would count twice.
                link.take();
                unpin(pins, interface, direction);
                *link = Some(put_tcx(interface, direction, program, pins)?);
                Ok(())
            }
            Self::Clsact { owns_qdisc } => {
                let asked = access.ask(interface, |requests, index| {
                    let is_ours = |filter: &clsact::Filter| filter.program == Some(program.id);
                    clsact::detach(requests, index, direction, is_ours)?;
                    Ok(qdisc(requests, index).and_then(|qdisc| {
                        *owns_qdisc |= qdisc == Qdisc::Ours;
                        if qdisc == Qdisc::IngressAlone && direction == Direction::Egress {
                            return Err(AttachError::IngressAlone);
                        }
                        put_filter(requests, index, direction, program, None)
                    }))
                });
                let again = |error| AttachError::new("putting the filter on again", error);
                asked.map_err(again).flatten()
            }
        }
    }

    /// What is on the interface, in the order in which it runs.
    pub(super) fn look(
        &self,
        access: &Access,
        interface: u32,
        direction: Direction,
    ) -> io::Result<Vec<OnHook>> {
        if let Self::Tcx(_) = self {
            let of = |id| OnHook {
                id: Some(id),
                name: None,
            };
            let ids = tcx::programs(interface_parts(interface).1, direction)?;
            return Ok(ids.into_iter().map(of).collect());
        }
        let of = |filter: clsact::Filter| OnHook {
            id: filter.program,
            name: Some(filter.name),
        };
        access.ask(interface, |requests, index| {
            let filters = clsact::filters(requests, index, direction)?;
            Ok(filters.into_iter().map(of).collect())
        })
    }

    /// Takes the programs off the interface.
    pub(super) fn take_off(
        self,
        access: &Access,
        interface: u32,
        programs: &[Program; 2],
        pins: Option<&Pins>,
    ) -> io::Result<()> {
        let Self::Clsact { owns_qdisc } = self else {
            // Closing the links does the rest.
            for direction in DIRECTIONS {
                unpin(pins, interface, direction);
            }
            return Ok(());
        };
        let taken = access.ask(interface, |requests, index| {
            take_filters_off(requests, index, programs)?;
            if owns_qdisc {
                clsact::remove_if_empty(requests, index)?;
            }
            Ok(())
        });
        match taken {
            Err(error) if is_gone(&error) => Ok(()),
            taken => taken,
        }
    }
}

/// Those of TCX have their names at the program alone.
pub(super) fn name(found: &mut [OnHook]) {
    for program in found.iter_mut().filter(|found| found.name.is_none()) {
        program.name = program.id.and_then(|id| tcx::program_name(id).ok());
    }
}

fn put_tcx(
    interface: u32,
    direction: Direction,
    program: &Program,
    pins: Option<&Pins>,
) -> Result<OwnedFd, AttachError> {
    let (namespace, index) = interface_parts(interface);
    let program = program.fd.as_fd();
    // Nothing is judged in another namespace.
    match pins.filter(|_| namespace == 0) {
        Some(pins) => pins.attach(program, index, direction),
        None => tcx::attach(program, index, direction),
    }
    .map_err(|error| AttachError::new("making a TCX link", error))
}

fn unpin(pins: Option<&Pins>, interface: u32, direction: Direction) {
    if let (Some(pins), (0, index)) = (pins, interface_parts(interface)) {
        pins.detach(index, direction);
    }
}

/// The interface, or its network namespace, is.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
        || (error.raw_os_error().is_none() && error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(number: i32) -> AttachError {
        AttachError::new("trying", io::Error::from_raw_os_error(number))
    }

    #[test]
    fn an_interface_that_vanished_is_told_from_a_module_that_is_missing() {
        assert!(matches!(error(libc::ENODEV), AttachError::Gone));
        let missing = error(libc::ENOENT).or_no_module("clsact qdisc", "sch_ingress");
        assert!(missing.to_string().contains("sch_ingress"), "{missing}");
        let refused = error(libc::EPERM).or_no_module("clsact qdisc", "sch_ingress");
        assert!(matches!(refused, AttachError::System { .. }));
    }

    #[test]
    fn what_is_short_is_not_gone_and_has_a_remedy() {
        let full = error(libc::EMFILE);
        assert!(matches!(full, AttachError::Exhausted { .. }));
        assert!(full.to_string().contains("LimitNOFILE"), "{full}");
        assert!(error(libc::ENFILE).to_string().contains("fs.file-max"));
        assert!(matches!(error(libc::ENOMEM), AttachError::Exhausted { .. }));
    }

    #[test]
    fn only_programs_of_a_sextantd_hide_nothing() {
        let named = |name: Option<&str>| OnHook {
            id: Some(7),
            name: name.map(String::from),
        };
        assert!(!named(Some("sextant_in")).is_foreign());
        assert!(named(Some("cil_from_netdev")).is_foreign());
        assert!(named(None).is_foreign());
        assert_eq!(named(None).label(), "program 7");
    }
}
