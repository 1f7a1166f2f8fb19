//! What this kernel can do for Sextant, and what is chosen for it.

use std::{fmt, path::Path};

use super::{DatapathError, Loaded, Settings, kernel};

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
    /// Looks at this machine; loads the programs and lets them go again.
    #[must_use]
    pub fn take() -> Self {
        let kernel = kernel::release();
        let tcx = kernel::at_least(&kernel, 6, 6);
        Self {
            abilities: vec![
                programs(false),
                ability(
                    "tcx",
                    tcx,
                    "programs are attached by links that vanish with the process",
                    "before 6.6: programs are attached as clsact filters",
                ),
                ability(
                    "btf",
                    Path::new("/sys/kernel/btf/vmlinux").exists(),
                    "drop reasons are read with this kernel's own layouts",
                    "no BTF: packets dropped by the kernel are not observed",
                ),
                ability(
                    "netns",
                    programs(true).present,
                    "other network namespaces can be observed too",
                    "no BTF, or before 5.14: only the network namespace that sextantd runs in",
                ),
            ],
            kernel,
        }
    }
}

fn ability(name: &'static str, present: bool, yes: &str, no: &str) -> Ability {
    Ability {
        name,
        present,
        note: if present { yes } else { no }.to_owned(),
    }
}

/// The real thing: the kernel takes the programs, or says why not.
fn programs(several_namespaces: bool) -> Ability {
    let smallest = Settings {
        flows4: 1,
        flows6: 1,
        observed_ring_bytes: 4096,
        denied_ring_bytes: 4096,
        active_interval_ns: 1,
        drops: false,
        several_namespaces,
        several_zones: true,
    };
    let loaded: Result<Loaded, DatapathError> = Loaded::new(&smallest);
    Ability {
        name: "programs",
        present: loaded.is_ok(),
        note: match loaded {
            Ok(_) => "the kernel takes Sextant's eBPF programs".into(),
            Err(error) => error.to_string(),
        },
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kernel    {}", self.kernel)?;
        for ability in &self.abilities {
            let found = if ability.present { "yes" } else { "no " };
            writeln!(f, "{:<9} {found} {}", ability.name, ability.note)?;
        }
        Ok(())
    }
}
