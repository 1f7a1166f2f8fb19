//! What is observed, how much of it is kept in the kernel, and what is known by it.

use std::{path::PathBuf, time::Duration};

/// The eBPF side.
#[derive(Clone, Debug, PartialEq)]
pub struct Datapath {
    /// Globs of interfaces; empty is every interface that is up.
    pub interfaces: Vec<String>,
    /// Globs of interfaces that are left alone.
    pub exclude: Vec<String>,
    /// Events are thinned to news; off raises one for each packet.
    pub aggregation: bool,
    /// Interval between events of an active flow.
    pub active_interval: Duration,
    /// IPv4 flows at one time.
    pub flows_ipv4: u32,
    /// IPv6 flows at one time.
    pub flows_ipv6: u32,
    /// Dropped flows at one time.
    pub flows_dropped: u32,
    /// Bytes of the ring of observed events; a power of two.
    pub observed_ring_bytes: u32,
    /// Bytes of the ring of denied events; a power of two.
    pub denied_ring_bytes: u32,
    /// Bytes of the ring of what packets carry; a power of two.
    pub payload_ring_bytes: u32,
    /// Bytes of it that may be copied on a CPU in a second; 0 is none.
    pub payload_bytes_per_second: u64,
    /// Silence after which an open TCP connection counts as ended.
    pub tcp_idle: Duration,
    /// Silence after which a TCP connection that is not open yet counts as ended.
    pub tcp_opening: Duration,
    /// Silence after which a closed TCP connection counts as ended.
    pub tcp_closed: Duration,
    /// Silence after which any other flow counts as ended.
    pub other_idle: Duration,
    /// Use clsact even where TCX works.
    pub force_clsact: bool,
    /// Watch packets that the kernel drops.
    pub drops: bool,
    /// Find out which process is behind a flow.
    pub processes: bool,
    /// VLAN ids tell flows apart.
    pub vlan_in_key: bool,
    /// Interfaces with address spaces of their own: glob and zone.
    pub zones: Vec<(String, u16)>,
    /// Other network namespaces: path, whose last part may be a glob, and zone.
    pub namespaces: Vec<(String, u16)>,
}

impl Default for Datapath {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            exclude: Vec::new(),
            aggregation: true,
            active_interval: Duration::from_secs(5),
            flows_ipv4: 131_072,
            flows_ipv6: 65_536,
            flows_dropped: 16_384,
            observed_ring_bytes: 8 << 20,
            denied_ring_bytes: 1 << 20,
            payload_ring_bytes: 4 << 20,
            payload_bytes_per_second: 8 << 20,
            tcp_idle: Duration::from_secs(600),
            tcp_opening: Duration::from_secs(10),
            tcp_closed: Duration::from_secs(3),
            other_idle: Duration::from_secs(60),
            force_clsact: false,
            drops: true,
            processes: true,
            vlan_in_key: false,
            zones: Vec::new(),
            namespaces: Vec::new(),
        }
    }
}

/// Command lines of processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLines {
    /// They are told.
    pub enabled: bool,
    /// Regular expressions of what is hidden in them, beside the usual.
    pub redact: Vec<String>,
}

/// Names of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Addresses with names, counted for each client.
    pub capacity: usize,
    /// A name counts for at least so long, however short its TTL is.
    pub ttl_floor: Duration,
    /// The file with names where DNS has none, as `/etc/hosts`; `None` is none.
    pub hosts_file: Option<PathBuf>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            capacity: 65_536,
            ttl_floor: Duration::from_secs(60),
            hosts_file: Some("/etc/hosts".into()),
        }
    }
}
