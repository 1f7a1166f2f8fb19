//! The programs that are measured: those of the daemon and one that does nothing; how long
//! they ran.

use std::{path::Path, process::Command};

use serde_json::Value;
use sextant_integration_tests::{Daemon, Netns};

use crate::Bench;

/// The program that does nothing.
pub(crate) const EMPTY: &str = "bench_empty";

/// The release build in a namespace.
pub(crate) fn daemon(bench: &Bench, namespace: &Netns) -> Daemon {
    // The crate's guard starts what this names.
    Daemon::start_binary(&bench.options.sextantd, namespace, "", &[])
}

/// Both directions, behind the daemon's programs.
pub(crate) fn attach_empty(namespace: &Netns, interface: &str, object: &Path) {
    namespace.run(&format!("tc qdisc add dev {interface} clsact"));
    for direction in ["ingress", "egress"] {
        namespace.run(&format!(
            "tc filter add dev {interface} {direction} bpf direct-action object-file {} section tc",
            object.display()
        ));
    }
}

/// The kernel's run-time statistics, off again when dropped.
pub(crate) struct Statistics;

impl Statistics {
    pub(crate) fn on() -> anyhow::Result<Self> {
        set_statistics("1")?;
        Ok(Self)
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        let _ = set_statistics("0");
    }
}

fn set_statistics(value: &str) -> anyhow::Result<()> {
    Ok(std::fs::write("/proc/sys/kernel/bpf_stats_enabled", value)?)
}

pub(crate) fn programs() -> anyhow::Result<Vec<Value>> {
    let output = Command::new("bpftool")
        .args(["-j", "prog", "show"])
        .output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Run time and runs of all programs of this name.
pub(crate) fn run_time(program: &str) -> anyhow::Result<(f64, f64)> {
    let mut sum = (0.0, 0.0);
    for found in programs()?.iter().filter(|found| found["name"] == program) {
        sum.0 += found["run_time_ns"].as_f64().unwrap_or(0.0);
        sum.1 += found["run_cnt"].as_f64().unwrap_or(0.0);
    }
    Ok(sum)
}
