//! Maps and load-time constants, with the reason for each size. The daemon
//! sets sizes and constants when it loads the programs.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use sextant_ebpf_common::{
    CAUSES, Cause, CauseCount, DIRECT_SLOTS, DropCount, DropKey, EXTRA_SLOTS, FragmentKey,
    FragmentPorts, InterfaceTotals, Joints, TALLIES, Tally, Tuning,
};

use crate::packet::Packet;

/// Fragmented datagrams on their way. LRU: an old one is of no use.
#[map]
pub static FRAGMENTS: LruHashMap<FragmentKey, FragmentPorts> =
    LruHashMap::with_max_entries(8192, 0);

/// Events of observed packets.
#[map]
pub static OBSERVED: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// Events of dropped and denied packets; never behind those of others.
#[map]
pub static DENIED: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// What packets carry, of protocols that are read.
#[map]
pub static PAYLOAD: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// Whether the daemon's reader rests until it is woken; 0 or 1.
#[map]
static RESTS: Array<u32> = Array::with_max_entries(1, 0);

/// Totals by interface slot. The last slot takes interfaces without one.
#[map]
pub static TOTALS: PerCpuArray<InterfaceTotals> =
    PerCpuArray::with_max_entries(DIRECT_SLOTS + EXTRA_SLOTS, 0);

/// Slots of interfaces whose index is not below `DIRECT_SLOTS`.
#[map]
pub static SLOTS: HashMap<u32, u32> = HashMap::with_max_entries(EXTRA_SLOTS, 0);

/// Zone of each interface slot.
#[map]
pub static ZONES: Array<u16> = Array::with_max_entries(DIRECT_SLOTS + EXTRA_SLOTS, 0);

/// How interfaces are joined to others, by slot.
#[map]
static JOINTS: Array<Joints> = Array::with_max_entries(DIRECT_SLOTS + EXTRA_SLOTS, 0);

/// Numbers of the other network namespaces that are observed, by cookie.
#[map]
pub static NAMESPACES: HashMap<u64, u32> =
    HashMap::with_max_entries(sextant_ebpf_common::NAMESPACES, 0);

/// Packets without a flow and events not raised, by cause.
#[map]
pub static COUNTS: PerCpuArray<CauseCount> = PerCpuArray::with_max_entries(CAUSES.len() as u32, 0);

/// Dropped flows by reason. The daemon removes those that are over.
#[map]
pub static DROPS: HashMap<DropKey, DropCount> = HashMap::with_max_entries(16_384, 0);

/// Where packets of unusual layout are taken apart.
#[map]
pub static SCRATCH: PerCpuArray<Packet> = PerCpuArray::with_max_entries(1, 0);

/// What the daemon may change while the programs run.
#[map]
static TUNING: Array<Tuning> = Array::with_max_entries(1, 0);

/// Counts beside those by cause, by `Tally`.
#[map]
static TALLY: PerCpuArray<CauseCount> = PerCpuArray::with_max_entries(TALLIES, 0);

/// Until this time (monotonic clock) an unknown flow may have begun before
/// the programs were attached, so its initiator is a guess.
#[unsafe(no_mangle)]
static SETTLED_AT_NS: u64 = 0;

/// How full the rings may be before the reader is woken, in bytes.
#[unsafe(no_mangle)]
static OBSERVED_LEVEL: u64 = 0;
#[unsafe(no_mangle)]
static DENIED_LEVEL: u64 = 0;
#[unsafe(no_mangle)]
static PAYLOAD_LEVEL: u64 = 0;

/// The same for processes.
#[unsafe(no_mangle)]
static PROCESS_LEVEL: u64 = 0;

/// Whether it is known who made a socket.
#[unsafe(no_mangle)]
static TELLS_WHO: u32 = 0;

/// Whether there may be other network namespaces than the daemon's own; where
/// there are none the kernel removes the look-up when it loads the program.
#[unsafe(no_mangle)]
static SEVERAL_NAMESPACES: u32 = 0;

/// Whether an interface may be in another zone than 0; as above.
#[unsafe(no_mangle)]
static SEVERAL_ZONES: u32 = 0;

/// Whether the number of a namespace must be looked up.
#[inline(always)]
pub fn has_several_namespaces() -> bool {
    // SAFETY: as below.
    unsafe { core::ptr::read_volatile(&raw const SEVERAL_NAMESPACES) != 0 }
}

/// The number of the namespace with this cookie; 0 for the daemon's own.
#[inline(always)]
pub fn namespace(cookie: u64) -> u32 {
    // SAFETY: copied at once.
    unsafe { NAMESPACES.get(&cookie) }.copied().unwrap_or(0)
}

/// What is set now.
#[inline(always)]
pub fn tuning() -> Tuning {
    TUNING.get(0).copied().unwrap_or_default()
}

/// See `SETTLED_AT_NS`.
#[inline(always)]
pub fn settled_at_ns() -> u64 {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const SETTLED_AT_NS) }
}

/// See `OBSERVED_LEVEL`.
#[inline(always)]
pub fn observed_level() -> u64 {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const OBSERVED_LEVEL) }
}

/// See `DENIED_LEVEL`.
#[inline(always)]
pub fn denied_level() -> u64 {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const DENIED_LEVEL) }
}

/// See `PAYLOAD_LEVEL`.
#[inline(always)]
pub fn payload_level() -> u64 {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const PAYLOAD_LEVEL) }
}

/// See `PROCESS_LEVEL`.
#[inline(always)]
pub fn process_level() -> u64 {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const PROCESS_LEVEL) }
}

/// See `TELLS_WHO`.
#[inline(always)]
pub fn tells_who() -> bool {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const TELLS_WHO) != 0 }
}

/// Whether the reader has to be woken.
#[inline(always)]
pub fn reader_rests() -> bool {
    // SAFETY: the daemon and other CPUs write a whole word.
    RESTS
        .get_ptr(0)
        .is_some_and(|rests| unsafe { rests.read_volatile() } != 0)
}

/// Others need not wake it too.
#[inline(always)]
pub fn reader_is_up() {
    if let Some(rests) = RESTS.get_ptr_mut(0) {
        // SAFETY: as above.
        unsafe { rests.write_volatile(0) }
    }
}

/// Counts packets by cause.
#[inline(always)]
pub fn count(cause: Cause, packets: u64, bytes: u64) {
    if let Some(count) = COUNTS.get_ptr_mut(cause as u32) {
        // SAFETY: a per-CPU slot; nobody else writes it while we run.
        unsafe {
            (*count).packets += packets;
            (*count).bytes += bytes;
        }
    }
}

/// Adds to a tally.
#[inline(always)]
pub fn tally(tally: Tally, packets: u64, bytes: u64) {
    if let Some(count) = TALLY.get_ptr_mut(tally as u32) {
        // SAFETY: as above.
        unsafe {
            (*count).packets += packets;
            (*count).bytes += bytes;
        }
    }
}

/// Adds to the totals of a point's interface; returns the interface's zone.
#[inline(always)]
pub fn add_to_totals(point: u32, packets: u64, bytes: u64) -> u16 {
    let Some(slot) = slot(point) else {
        count(Cause::NoInterfaceSlot, packets, bytes);
        return 0;
    };
    if let Some(totals) = TOTALS.get_ptr_mut(slot) {
        // As in `point`: ingress is 0, egress 1.
        let direction = (point & 1) as usize;
        // SAFETY: a per-CPU slot.
        unsafe {
            (*totals).packets[direction] += packets;
            (*totals).bytes[direction] += bytes;
        }
    }
    zone_of(slot)
}

/// How a point's interface is joined to others; `None` if nothing is known.
#[inline(always)]
pub fn joints(point: u32) -> Option<&'static Joints> {
    JOINTS.get(slot(point)?)
}

/// The zone of a point's interface.
#[inline(always)]
pub fn zone(point: u32) -> u16 {
    slot(point).map_or(0, zone_of)
}

#[inline(always)]
fn zone_of(slot: u32) -> u16 {
    // SAFETY: as above.
    if unsafe { core::ptr::read_volatile(&raw const SEVERAL_ZONES) } == 0 {
        return 0;
    }
    ZONES.get(slot).copied().unwrap_or(0)
}

/// The slot of a point's interface.
#[inline(always)]
pub fn slot(point: u32) -> Option<u32> {
    let ifindex = point >> 1;
    if ifindex < DIRECT_SLOTS {
        return Some(ifindex);
    }
    // SAFETY: copied at once.
    unsafe { SLOTS.get(&ifindex) }.copied()
}
