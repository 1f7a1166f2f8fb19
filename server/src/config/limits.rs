//! What numbers and durations may be; each with its reason.

use std::{ops::RangeInclusive, time::Duration};

/// The datapath gives loopbacks of other network namespaces the zones after it.
const LAST_ZONE: u16 = sextant_ebpf_common::LOOPBACK_ZONES - 1;

/// Flows in memory, at about 300 bytes each.
pub(super) const FLOW_CAPACITY: RangeInclusive<u64> = 1..=1 << 32;
/// The largest flow takes up to a megabyte.
pub(super) const FLOW_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 42;
/// Streams, of all connections or of one.
pub(super) const MAX_STREAMS: RangeInclusive<usize> = 1..=1_000_000;
/// Percent of them for one peer.
pub(super) const PEER_SHARE: RangeInclusive<usize> = 1..=100;
/// The largest request has to fit into a share.
pub(super) const MAX_PENDING_BYTES: RangeInclusive<usize> = 1 << 20..=1 << 40;
/// Less than a slow link needs for a filter would refuse honest clients.
pub(super) const MESSAGE_TIMEOUT: RangeInclusive<Duration> = millis(100)..=hours(1);
/// The same, for HTTP/2.
pub(super) const MAX_STREAMS_PER_CONNECTION: RangeInclusive<u32> = 1..=1_000_000;
/// Each is a descriptor.
pub(super) const MAX_CONNECTIONS: RangeInclusive<usize> = 1..=1_000_000;
/// A filter fits into the lower bound; the upper one is a buffer per request.
pub(super) const MAX_REQUEST_BYTES: RangeInclusive<usize> = 1024..=1 << 30;
/// More often would be more notices than flows.
pub(super) const LOST_EVENT_INTERVAL: RangeInclusive<Duration> = millis(1)..=hours(1);
/// The largest entry has 10 KiB.
pub(super) const AUDIT_BYTES: RangeInclusive<u64> = 16 << 10..=1 << 32;
/// Each is looked for at the start.
pub(super) const AUDIT_KEEP: RangeInclusive<u32> = 0..=100;
/// Zero ends streams at once.
pub(super) const DRAIN_TIMEOUT: RangeInclusive<Duration> = millis(0)..=hours(1);
/// Shorter would be no aggregation; `aggregation = false` is for that.
pub(super) const ACTIVE_INTERVAL: RangeInclusive<Duration> = millis(100)..=hours(1);
/// Entries of a table in the kernel, at about 200 bytes each.
pub(super) const TABLE_FLOWS: RangeInclusive<u32> = 1..=1 << 26;
/// At least a page, at most what a `u32` holds as a power of two.
pub(super) const RING_BYTES: RangeInclusive<u32> = 4096..=1 << 31;
/// 0 copies nothing; the upper bound is beyond what a CPU copies.
pub(super) const PAYLOAD_RATE: RangeInclusive<u64> = 0..=1 << 32;
/// Addresses with names, at about 200 bytes each.
pub(super) const NAMES: RangeInclusive<usize> = 16..=1 << 24;
/// Zero is the TTL alone; no name counts for longer than a day.
pub(super) const TTL_FLOOR: RangeInclusive<Duration> = millis(0)..=hours(24);
/// The tables are swept for ended flows about once a second.
pub(super) const IDLE: RangeInclusive<Duration> = millis(100)..=hours(24 * 7);
/// Of one CPU; 0 is no budget, above 100 is more than one.
pub(super) const CPU_PERCENT: RangeInclusive<u32> = 0..=100_000;
/// 0 is where interfaces are without a zone; the datapath has the last ones, and the
/// upper half where it numbers VLANs.
pub(super) const fn zone(vlan_in_key: bool) -> RangeInclusive<u16> {
    match vlan_in_key {
        true => 0..=sextant_ebpf_common::FIRST_VLAN - 1,
        false => 0..=LAST_ZONE,
    }
}

/// Of each metric; a series takes about 500 bytes.
pub(super) const SERIES: RangeInclusive<usize> = 1..=1_000_000;

/// Shorter would lose series between two scrapes; longer is no bound.
pub(super) const SERIES_IDLE: RangeInclusive<Duration> = millis(1000)..=hours(24 * 7);

/// Of a file of exported flows, in MiB: smaller ones would be many, of larger ones few
/// fit on a disk.
pub(super) const EXPORT_MB: RangeInclusive<u64> = 1..=1 << 20;
/// Each is looked at when another comes.
pub(super) const EXPORT_BACKUPS: RangeInclusive<usize> = 1..=1000;

/// Of a spool, in MiB: it holds some batches at least.
pub(super) const SPOOL_MB: RangeInclusive<u64> = 8..=1 << 20;

/// How long a server that is exported to may take to answer.
pub(super) const EXPORT_TIMEOUT: RangeInclusive<Duration> = millis(10)..=Duration::from_secs(300);
/// How long events wait for others: the store has to hold them meanwhile.
pub(super) const EXPORT_INTERVAL: RangeInclusive<Duration> = millis(1)..=Duration::from_secs(60);
/// Between two pages of metrics that are sent.
pub(super) const EXPORT_METRICS: RangeInclusive<Duration> = millis(100)..=Duration::from_secs(3600);
/// How long flows are counted before they are written.
pub(super) const EXPORT_AGGREGATION: RangeInclusive<Duration> = crate::export::COUNTED_FOR;
/// Events of a request.
pub(super) const EXPORT_EVENTS: RangeInclusive<usize> = 1..=1 << 20;

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3600)
}
