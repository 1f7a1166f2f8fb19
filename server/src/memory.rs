//! Memory that the control group of the process has (cgroups(7)): where it is limited to
//! little, tables and rings are made smaller, and where too little is left the daemon says
//! so, instead of an end without a word when the kernel finds none. Not the limits of
//! getrlimit(2), which `rlimits` looks at.

use std::{fs, path::Path};

use crate::{
    config::{Config, Datapath, Policy},
    datapath::Rooms,
    rlimits::BYTES_A_FLOW,
};

const MIB: u64 = 1 << 20;
/// What the process itself takes while it starts.
const PROCESS: u64 = 36 * MIB;
/// What the kernel takes to verify a program.
const VERIFIER: u64 = 48 * MIB;
/// Programs, and maps of fixed sizes.
const FIXED: u64 = 11 * MIB;
/// Tables are made no smaller.
const LEAST_FLOWS: u32 = 8192;
/// Rings are made no smaller.
const LEAST_RING: u32 = 1 << 18;

/// The limit leaves too little.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the memory of the control group is limited to {has} MiB, and {needed} MiB are needed; raise MemoryMax= of the unit (docker run --memory, resources.limits of a pod), or lower max_rules and max_ranges under [policy] if they are raised"
)]
pub struct TooLittleMemory {
    has: u64,
    needed: u64,
}

/// The least limit of the control group of this process and of those around it, in bytes;
/// nothing where none is set.
#[must_use]
pub fn limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().filter_map(limit_of).min()
}

/// Of a line `0::/path`, or `7:memory:/path` of the first version.
fn limit_of(line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        of if of.split(',').any(|one| one == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let (root, path) = (Path::new(root), path.trim_start_matches('/'));
    let around = Path::new(path).ancestors();
    let set = |group| {
        let limit = fs::read_to_string(root.join(group).join(file)).ok()?;
        // Without a limit it is `max`, or in the first version about 2^63.
        limit.trim().parse().ok().filter(|limit| *limit < 1 << 60)
    };
    around.filter_map(set).min()
}

/// What the tables of policies have room for.
#[must_use]
pub fn rooms(policy: &Policy) -> Rooms {
    Rooms::new(policy.max_ranges, policy.max_endpoints, policy.max_rules)
}

/// Whether several programs may be verified at one time.
#[must_use]
pub fn is_plenty(datapath: &Datapath, policy: &Policy, limit: Option<u64>) -> bool {
    limit.is_none_or(|limit| needed(datapath, policy) + 3 * VERIFIER <= limit)
}

/// Halves tables and rings of the datapath until all fits; tells whether it had to. What
/// policies have room for stays as it is configured.
///
/// # Errors
///
/// When the smallest do not fit.
pub fn fit(config: &mut Config, limit: u64) -> Result<bool, TooLittleMemory> {
    let Some(datapath) = &mut config.datapath else {
        return Ok(false);
    };
    let mut is_less = false;
    loop {
        let needed = needed(datapath, &config.policy);
        if needed <= limit {
            return Ok(is_less);
        }
        if !halve(datapath) {
            return Err(TooLittleMemory {
                has: limit / MIB,
                needed: needed.div_ceil(MIB),
            });
        }
        is_less = true;
    }
}

fn halve(datapath: &mut Datapath) -> bool {
    let mut halved = false;
    for (size, least) in [
        (&mut datapath.flows_ipv4, LEAST_FLOWS),
        (&mut datapath.flows_ipv6, LEAST_FLOWS),
        (&mut datapath.observed_ring_bytes, LEAST_RING),
        (&mut datapath.payload_ring_bytes, LEAST_RING),
    ] {
        if *size / 2 >= least {
            *size /= 2;
            halved = true;
        }
    }
    halved
}

/// At the start, one program after the other verified.
fn needed(datapath: &Datapath, policy: &Policy) -> u64 {
    let flows = u64::from(datapath.flows_ipv4) + u64::from(datapath.flows_ipv6);
    let rings = [
        datapath.observed_ring_bytes,
        datapath.denied_ring_bytes,
        datapath.payload_ring_bytes,
    ];
    let rings: u64 = rings.into_iter().map(u64::from).sum();
    let beside = PROCESS + VERIFIER + FIXED + rooms(policy).bytes();
    beside + flows * BYTES_A_FLOW + rings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_of(datapath: Datapath) -> Config {
        Config {
            datapath: Some(datapath),
            ..Config::default()
        }
    }

    #[test]
    fn tables_are_made_smaller_until_they_fit() {
        let usual = Datapath::default();
        let mut config = config_of(usual.clone());
        assert_eq!(fit(&mut config, 1 << 30), Ok(false));
        assert_eq!(config.datapath, Some(usual.clone()));
        assert_eq!(fit(&mut config, 128 * MIB), Ok(true));
        let datapath = config.datapath.clone().unwrap();
        assert!(needed(&datapath, &config.policy) <= 128 * MIB);
        assert!(datapath.flows_ipv4 < usual.flows_ipv4 && datapath.flows_ipv4 >= LEAST_FLOWS);
        assert!(datapath.observed_ring_bytes.is_power_of_two());
        let told = fit(&mut config, 64 * MIB).unwrap_err().to_string();
        assert!(told.contains("limited to 64 MiB"), "{told}");
        // What somebody made smaller still is left alone.
        let mut small = config_of(Datapath {
            flows_ipv4: 100,
            ..usual
        });
        assert_eq!(fit(&mut small, 128 * MIB), Ok(true));
        assert_eq!(small.datapath.unwrap().flows_ipv4, 100);
    }

    #[test]
    fn raised_rooms_of_policies_count() {
        let mut config = config_of(Datapath::default());
        config.policy.max_rules = 1 << 20;
        config.policy.max_ranges = 1 << 20;
        let told = fit(&mut config, 192 * MIB).unwrap_err().to_string();
        assert!(told.contains("lower max_rules"), "{told}");
        assert_eq!(config.policy.max_rules, 1 << 20, "refused, not cut");
        assert_eq!(fit(&mut config, 1 << 30), Ok(false));
    }

    #[test]
    fn lines_of_both_versions_are_read_and_others_are_none() {
        assert_eq!(limit_of("3:cpu,cpuacct:/"), None);
        assert_eq!(limit_of("nonsense"), None);
        // The groups of this test have none, or one that is a number of bytes.
        for line in ["0::/", "7:memory:/"] {
            assert!(limit_of(line).is_none_or(|limit| limit > MIB));
        }
    }
}
