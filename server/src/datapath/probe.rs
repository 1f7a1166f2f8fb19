//! What this kernel can do for Sextant, and what is chosen for it.

use std::{fmt, fs, path::Path};

use super::{DatapathError, Loaded, Settings};

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
#[derive(Clone, Debug, PartialEq, Eq)]
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
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")
            .map(|release| release.trim().to_owned())
            .unwrap_or_default();
        let tcx = at_least(&kernel, 6, 6);
        Self {
            abilities: vec![
                programs(),
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
fn programs() -> Ability {
    let smallest = Settings {
        flows4: 1,
        flows6: 1,
        observed_ring_bytes: 4096,
        denied_ring_bytes: 4096,
        active_interval_ns: 1,
        drops: false,
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

fn at_least(release: &str, major: u32, minor: u32) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    found >= (major, minor)
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
