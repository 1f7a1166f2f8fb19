//! The programs for packets: loaded, and ready to be attached. Where they are attached
//! is not known here.

use std::{os::fd::AsFd as _, panic::resume_unwind, thread};

use aya::{
    Ebpf,
    programs::{ProgramError, SchedClassifier},
};

use super::{
    DatapathError,
    program::{Program, Programs},
    refusal::refused,
    tcx,
};

/// The programs for packets.
const CLASSIFIERS: [&str; 4] = [
    "sextant_in",
    "sextant_out",
    "sextant_in_ip",
    "sextant_out_ip",
];

/// Side by side, since the kernel takes some tenths of a second to verify each; or one
/// after the other, where memory is short.
///
/// # Errors
///
/// When the kernel refuses one.
pub(super) fn load(ebpf: &mut Ebpf, at_once: bool) -> Result<(), DatapathError> {
    let found = ebpf
        .programs_mut()
        .filter(|(name, _)| CLASSIFIERS.contains(name));
    let classifiers: Vec<&mut SchedClassifier> = found
        .filter_map(|(_, program)| program.try_into().ok())
        .collect();
    let refused = |error: ProgramError| refused("loading the classifier programs", &error);
    if !at_once {
        let mut all = classifiers.into_iter();
        return all.try_for_each(|program| program.load().map_err(refused));
    }
    thread::scope(|scope| {
        let mut loads = Vec::new();
        for program in classifiers {
            let load = thread::Builder::new().spawn_scoped(scope, || program.load());
            loads.push(load.map_err(DatapathError::thread)?);
        }
        for load in loads {
            let loaded = load.join().unwrap_or_else(|panic| resume_unwind(panic));
            loaded.map_err(refused)?;
        }
        Ok(())
    })
}

/// What is attached to interfaces.
///
/// # Errors
///
/// When one is missing, or for want of descriptors.
pub(super) fn attachable(ebpf: &Ebpf) -> Result<Programs, DatapathError> {
    let program = |name: &'static str| {
        let failed = |source| DatapathError::System {
            action: "duplicating a descriptor",
            source,
        };
        let fd = ebpf
            .program(name)
            .and_then(|program| program.fd().ok())
            .ok_or(DatapathError::Missing {
                what: "program",
                name,
            })?;
        let fd = fd.as_fd().try_clone_to_owned().map_err(failed)?;
        let id = tcx::program_id(fd.as_fd()).map_err(failed)?;
        Ok(Program { name, fd, id })
    };
    let [ingress, egress, ingress_ip, egress_ip] = CLASSIFIERS;
    Ok(Programs {
        ethernet: [program(ingress)?, program(egress)?],
        ip: [program(ingress_ip)?, program(egress_ip)?],
    })
}
