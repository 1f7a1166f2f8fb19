//! What this kernel can do for Sextant, found out by trying it, and what is
//! chosen for it.

use std::path::PathBuf;
use std::{fmt, io, thread};

use sextant_ebpf_common::policy::deny_error;

use super::{
    Hook, Layer, Loaded, Settings, ending,
    hook::{self, AttachError},
    kernel,
    loader::Drops,
    netlink::{Access, Requests},
    program::Programs,
    rights::{self, NET_ADMIN, PROGRAMS, SYS_ADMIN, SYS_PTRACE},
    who::Who,
};

/// One ability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ability {
    /// What it is.
    pub name: &'static str,
    /// Whether it is there.
    pub present: bool,
    /// What follows from it.
    pub note: String,
}

/// All abilities of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Release of the kernel.
    pub kernel: String,
    /// What was found.
    pub abilities: Vec<Ability>,
}

impl Report {
    /// Tries it: loads the programs, attaches them in a network namespace of
    /// their own, and lets them go again.
    #[must_use]
    pub fn take() -> Self {
        let mut abilities = Vec::new();
        match Loaded::new(&smallest(true, false)) {
            Ok(loaded) => {
                abilities.push(loaded_ability());
                let tcx = tcx(try_hook(Hook::Tcx, &loaded.programs));
                if !tcx.present {
                    abilities.push(clsact(try_hook(Hook::Clsact, &loaded.programs)));
                }
                abilities.insert(1, tcx);
                abilities.extend(drops(&loaded.drops));
                abilities.extend(who(&loaded.who));
                abilities.push(lookup());
                abilities.push(names());
                abilities.push(nat(&loaded.nat));
                abilities.push(tcp(&loaded.again));
                abilities.push(destroy(ending::check()));
            }
            Err(error) => abilities.push(ability("programs", Err(error.to_string()))),
        }
        if abilities
            .iter()
            .all(|one| one.name != "programs" || one.present)
        {
            let several = Loaded::new(&smallest(false, true));
            let several = several.map(drop).map_err(|error| error.to_string());
            abilities.push(namespaces(several));
        }
        Self {
            abilities,
            kernel: kernel::release(),
        }
    }

    /// What became of a datapath that runs.
    pub(super) fn of_running(
        hook: Hook,
        drops: &Drops,
        who: &Who,
        [nat, again]: [&Result<(), String>; 2],
        several_namespaces: bool,
    ) -> Self {
        let has_tcx = hook == Hook::Tcx;
        let mut abilities = vec![
            loaded_ability(),
            tcx(if has_tcx {
                Ok(())
            } else {
                Err("not used".into())
            }),
        ];
        abilities.extend(self::drops(drops));
        abilities.extend(self::who(who));
        abilities.push(self::nat(nat));
        abilities.push(tcp(again));
        if several_namespaces {
            abilities.push(namespaces(Ok(())));
        }
        Self {
            abilities,
            kernel: kernel::release(),
        }
    }

    /// Whether packets can be observed at all.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let has = |name| {
            self.abilities
                .iter()
                .any(|one| one.name == name && one.present)
        };
        has("programs") && (has("tcx") || has("clsact"))
    }
}

/// What a part needs of whoever runs it, where it is not the same for all.
fn needs(name: &str) -> Option<String> {
    let programs = rights::names(&PROGRAMS);
    Some(match name {
        "programs" => format!("{programs}, or root"),
        "drops" | "nat" | "tcp" => {
            format!("{programs}; a kernel that is not locked down for confidentiality")
        }
        "who" => format!(
            "{programs}; the pid and cgroup namespaces of the host; a mounted cgroup2 hierarchy, or {}",
            rights::names(&[SYS_ADMIN])
        ),
        "lookup" => rights::names(&[SYS_PTRACE]),
        "names" => programs,
        "destroy" => rights::names(&[NET_ADMIN]),
        "netns" => format!("{programs}, and {}", rights::names(&[SYS_ADMIN])),
        _ => return None,
    })
}

/// A note that says what follows, or why it is not there.
fn ability(name: &'static str, found: Result<String, String>) -> Ability {
    Ability {
        name,
        present: found.is_ok(),
        note: found.unwrap_or_else(|reason| reason),
    }
}

fn loaded_ability() -> Ability {
    ability(
        "programs",
        Ok("the kernel takes Sextant's eBPF programs".into()),
    )
}

fn tcx(tried: Result<(), String>) -> Ability {
    let yes = |()| "programs are attached by links that vanish with the process".into();
    let no =
        |reason| format!("{reason} (it came with 6.6): programs are attached as clsact filters");
    ability("tcx", tried.map(yes).map_err(no))
}

fn clsact(tried: Result<(), String>) -> Ability {
    ability(
        "clsact",
        tried.map(|()| "programs are attached as filters".into()),
    )
}

fn drops(drops: &Drops) -> Option<Ability> {
    let found = match drops {
        Drops::Off => return None,
        Drops::Observed => Ok("packets that the kernel drops are told, with its reasons".into()),
        Drops::Refused(reason) => Err(format!(
            "packets that the kernel drops are not observed: {reason}"
        )),
    };
    Some(ability("drops", found))
}

fn who(who: &Who) -> Option<Ability> {
    let found = match who {
        Who::Off => return None,
        Who::Known(None) => Ok("the process behind a flow is told".into()),
        Who::Known(Some(limit)) => Ok(format!("the process behind a flow is told, but {limit}")),
        Who::Refused(reason) => Err(format!("the process behind a flow is not told: {reason}")),
    };
    Some(ability("who", found))
}

/// Of processes that the kernel did not tell; root alone may not look at those of others
/// in a container.
fn lookup() -> Ability {
    let found = match rights::lacking(&[SYS_PTRACE]) {
        None => Ok("a process that the kernel did not tell is looked up in /proc".into()),
        Some(lacking) => Err(format!(
            "a process that the kernel did not tell has no executable: sextantd lacks {lacking}"
        )),
    };
    ability("lookup", found)
}

fn names() -> Ability {
    ability(
        "names",
        Ok("names of addresses are taken from DNS and TLS as they pass by".into()),
    )
}

fn nat(told: &Result<(), String>) -> Ability {
    let yes = |()| "both legs of a connection whose addresses are translated are joined".into();
    let no = |reason| format!("legs of translated connections are not joined: {reason}");
    ability("nat", told.clone().map(yes).map_err(no))
}

fn tcp(again: &Result<(), String>) -> Ability {
    let yes = |()| "what TCP sends again is told at once".into();
    let no = |reason| format!("what TCP sends again is told with the flow's next event: {reason}");
    ability("tcp", again.clone().map(yes).map_err(no))
}

fn destroy(tried: Result<(), String>) -> Ability {
    let yes = |()| "connections that policies deny can be ended (on_deny)".into();
    let no = |reason| format!("connections that policies deny cannot be ended (on_deny): {reason}");
    ability("destroy", tried.map(yes).map_err(no))
}

fn namespaces(tried: Result<(), String>) -> Ability {
    let tried = match rights::lacking(&[SYS_ADMIN]) {
        Some(lacking) => tried.and(Err(format!("sextantd lacks {lacking} to enter others"))),
        None => tried,
    };
    let yes = |()| "other network namespaces can be observed too".into();
    let no = |reason| format!("only the network namespace that sextantd runs in: {reason}");
    ability("netns", tried.map(yes).map_err(no))
}

/// As small as can be.
fn smallest(drops: bool, several_namespaces: bool) -> Settings {
    Settings {
        flows4: 1,
        flows6: 1,
        flows_dropped: 1,
        observed_ring_bytes: 4096,
        denied_ring_bytes: 4096,
        payload_ring_bytes: 4096,
        // What is off would not be verified.
        payload_rate: 1,
        active_interval_ns: 1,
        drops,
        several_namespaces,
        several_zones: true,
        vlan_in_key: true,
        who: drops,
        command_lines: true,
        rooms: super::Rooms::NONE,
        pins: PathBuf::new(),
        keeps: false,
        deny_error: deny_error::SILENT,
        denies_unknown: true,
        ends_denied: false,
        verifies_at_once: true,
    }
}

/// Attaches to the loopback of a new network namespace, where nobody else is.
fn try_hook(hook: Hook, programs: &Programs) -> Result<(), String> {
    if hook == Hook::Tcx && !hook::has_tcx(programs) {
        return Err("this kernel has none".into());
    }
    let tried = thread::scope(|scope| {
        let attach = || -> Result<(), AttachError> {
            let action = "making a network namespace to try it in";
            let failed = |source| AttachError::System { action, source };
            own_namespace().map_err(failed)?;
            let access = Access::to(Requests::open().map_err(failed)?);
            const LOOPBACK: u32 = 1;
            hook::put(hook, &access, LOOPBACK, programs.of(Layer::Ethernet), None).map(drop)
        };
        let thread = thread::Builder::new().spawn_scoped(scope, attach);
        thread.map(thread::ScopedJoinHandle::join)
    });
    let tried = tried.map_err(|error| format!("starting a thread: {error}"))?;
    match tried {
        Ok(Ok(())) => Ok(()),
        // It needs more rights than to attach where one is.
        Ok(Err(AttachError::System { source, .. }))
            if hook == Hook::Tcx && source.kind() == io::ErrorKind::PermissionDenied =>
        {
            Ok(())
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the thread that tried it panicked".into()),
    }
}

/// Moves this thread into a new network namespace.
fn own_namespace() -> io::Result<()> {
    // SAFETY: concerns this thread alone.
    match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kernel     {}", self.kernel)?;
        for ability in &self.abilities {
            let found = if ability.present { "yes" } else { "no " };
            writeln!(f, "{:<10} {found} {}", ability.name, ability.note)?;
            if let Some(needs) = needs(ability.name) {
                writeln!(f, "               needs {needs}")?;
            }
        }
        Ok(())
    }
}
