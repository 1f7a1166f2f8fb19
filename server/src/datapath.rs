//! The kernel side of the daemon: loads the eBPF programs, keeps them attached
//! to the chosen interfaces, reads the rings and sweeps the flow tables.
//!
//! All `unsafe` of the daemon is in here. What comes out are `Event`s of
//! `sextant_ebpf_common`; nothing in here knows protobuf, filters or clients.

mod again;
mod ages;
mod attach;
mod balance;
mod bpf;
mod cgroup_links;
mod cgroup_root;
mod choice;
mod classifiers;
mod clock;
mod clsact;
mod counters;
mod ending;
mod ends;
mod eventfd;
mod flow_table;
mod grace;
mod holders;
mod hook;
mod joints;
mod kernel;
mod layout;
mod links;
mod loader;
mod losses;
mod mapping;
mod namespace;
pub(crate) mod netlink;
mod objects;
mod payloads;
mod pins;
mod probe;
mod process;
mod program;
mod reader;
mod refusal;
mod refused;
mod rest;
mod rights;
mod rooms;
mod rules;
mod running;
mod settings;
mod shared;
mod shortage;
mod sweep;
mod sweeper;
mod tables;
mod tcx;
mod tuning;
mod vlans;
mod volumes;
mod who;

pub use cgroup_root::CgroupRoot;
pub use choice::InterfaceChoice;
pub use counters::{Counted, Counters, InterfaceCount, Unobserved};
pub use eventfd::Stopper;
pub use holders::Holders;
pub use hook::Hook;
pub use layout::DropReasons;
pub use links::{Layer, Link, Links, Role};
pub use loader::Loaded;
pub use losses::{Loss, Losses, Lost};
pub use namespace::{Namespace, NamespaceChoice};
pub use netlink::{LinkWatch, namespaces_of};
pub use objects::{MapCost, Measuring, Objects, ProgramCost};
pub use payloads::{Carried, Payloads};
pub use pins::Predecessors;
pub use probe::Report;
pub use process::ProcessSeen;
pub use reader::{Batch, Reader};
pub use rooms::{NoRoom, Rooms};
pub use rules::{Placement, RuleTables};
pub use running::{Datapath, Slots, Zones};
pub use settings::Settings;
pub use sweep::Timeouts;
pub use sweeper::Sweeper;
pub use tuning::Tuner;
pub use vlans::{Place, Vlans};
pub use volumes::Ending;
pub use volumes::{ReaderCounts, Volume, Volumes};

/// What can go wrong with the kernel.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// The build had no eBPF linker.
    #[error(
        "this sextantd was built without its eBPF programs (AYA_BUILD_SKIP); rebuild it with bpf-linker installed, or start it with --no-datapath"
    )]
    NoPrograms,
    /// A right is missing.
    #[error(
        "loading eBPF programs needs the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; {missing} ({action}: {source}); run sextantd as root, or with --no-datapath to serve replayed flows only"
    )]
    Permission {
        /// What was tried.
        action: &'static str,
        /// Which are missing, as far as is known.
        missing: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The kernel refused a program or map.
    #[error("the kernel refused the eBPF programs ({detail}); {remedy}")]
    Load {
        /// The chain of causes.
        detail: String,
        /// What may be done.
        remedy: String,
    },
    /// A map or program is not in the object.
    #[error("eBPF object has no {what} `{name}`; the build is inconsistent, rebuild sextantd")]
    Missing {
        /// Map or program.
        what: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// A glob cannot be parsed.
    #[error(
        "interface pattern `{pattern}` is not a glob: {source}; use for example `eth*`, and [datapath] exclude for what is left alone"
    )]
    Pattern {
        /// As given.
        pattern: String,
        /// Why.
        source: globset::Error,
    },
    /// A pattern without a wildcard names no interface.
    #[error("no interface is named `{name}`; `ip link` lists those of this network namespace")]
    NoInterface {
        /// As given.
        name: String,
    },
    /// A network namespace cannot be entered.
    #[error(
        "cannot observe the network namespace {path}: {source}; name one that exists (`ip netns`, `lsns -t net`), as root"
    )]
    NoNamespace {
        /// As given.
        path: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// What tells network namespaces apart is missing.
    #[error(
        "this kernel cannot tell a packet's network namespace ({detail}); remove [[datapath.namespace]], and run a sextantd in each namespace instead"
    )]
    NamespacesUnsupported {
        /// What is missing.
        detail: String,
    },
    /// Without TCX, two processes would take each other's filters for stale ones.
    #[error(
        "another sextantd is attached by clsact in this network namespace; stop it, or use a kernel with TCX (6.6), where several go together"
    )]
    Busy,
    /// Interfaces are chosen, and the kernel takes the programs on none.
    #[error("no interface can be observed: {interface}: {reason}")]
    NothingAttached {
        /// The first of them.
        interface: String,
        /// Why not.
        reason: String,
    },
    /// Netlink failed.
    #[error("cannot list network interfaces by netlink: {detail}")]
    Netlink {
        /// Why.
        detail: String,
    },
    /// Policies cannot be kept where it was said.
    #[error(
        "policies cannot be kept in {path} ([policy] pins): {detail}; mount a bpffs there (mount -t bpf bpf {mount}), or set on_exit = \"remove\""
    )]
    NoPins {
        /// The folder.
        path: String,
        /// Where there should be a bpffs.
        mount: String,
        /// What is wrong.
        detail: String,
    },
    /// Nobody could be answered.
    #[error(
        "who opens a connection that a policy denies cannot be answered at once: {detail}; set deny_error = \"silent\" under [policy]"
    )]
    NoDenyError {
        /// What is wrong.
        detail: String,
    },
    /// Nothing could be ended.
    #[error(
        "connections that policies deny cannot be ended: {detail}; set on_deny = \"drop\" under [policy]"
    )]
    NoOnDeny {
        /// What is wrong.
        detail: String,
    },
    /// Two daemons would take each other's.
    #[error(
        "another sextantd keeps its policies in {path}; stop it, or give this one another folder ([policy] pins)"
    )]
    PinsBusy {
        /// The folder.
        path: String,
    },
    /// What is pinned cannot be used.
    #[error(
        "cannot take over the policies in {path} ({action}: {source}); remove the folder, and what is in force there goes with it"
    )]
    Pins {
        /// The folder.
        path: String,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A system call failed.
    #[error("{action} failed: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl DatapathError {
    /// A thread cannot be started.
    fn thread(source: std::io::Error) -> Self {
        Self::System {
            action: "starting a thread (the limit of tasks, `ulimit -u`, may be too low)",
            source,
        }
    }
}
