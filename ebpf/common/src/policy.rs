//! Policies as the tables that programs look up: what is where, and the look-up itself,
//! which the daemon's tests share.
//!
//! Each table has `PARTS` parts. `Control::generation` says which one is in force: a
//! program reads it once for a packet. The daemon writes another part, changes the
//! generation, and waits for all programs that run before it writes that part again. A
//! third one is for the set that comes back by itself, unless a change is confirmed in
//! time: `Control::until`, which programs look at, so that it needs no daemon.
//!
//! A verdict is looked up by who is judged (a `Scope`), the class of the peer, and
//! protocol and port. Rules are entries for a block of ports that begin with the same
//! bits, as in Cilium's policy maps; the longest one that is there decides, the peer's
//! own class before `ANY_CLASS`. What denies is put at each closer block by who makes
//! the tables, so nothing is weighed here.

/// Parts of each table.
pub const PARTS: u32 = 3;

/// The part of a generation: its last bits, so that a verifier sees how many there are.
/// Generations of a part that there is not are left out.
#[inline(always)]
#[must_use]
pub const fn part_of(generation: u32) -> u32 {
    generation & (BY_PART as u32 - 1)
}

/// Length of what is by part.
pub const BY_PART: usize = PARTS.next_power_of_two() as usize;

/// Nanoseconds of a unit of `Control::until` as a power of two: 67 ms, so that a word lasts
/// for nine years.
const UNTIL_BITS: u32 = 26;

/// The first unit of `Control::until` that is not before this time of the monotonic clock.
#[inline(always)]
#[must_use]
pub const fn until(ns: u64) -> u32 {
    (ns >> UNTIL_BITS) as u32 + 1
}

/// Whether it is over.
#[inline(always)]
#[must_use]
pub const fn is_over(until: u32, now_ns: u64) -> bool {
    (now_ns >> UNTIL_BITS) as u32 >= until
}

/// The generation that is in force, and what else is for all packets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Generation, which says which part. 0: no policy was ever in force, so nothing
    /// is judged.
    pub generation: u32,
    /// When another one comes into force by itself, as `until`; 0 for never.
    pub until: u32,
    /// Which one then.
    pub fallback: u32,
    /// By part: subject number of this host, which is judged where no other is known.
    pub host: [u32; BY_PART],
    /// By part: how many ranges of IPv6 there are.
    pub ranges6: [u32; BY_PART],
    /// By part: length of the table of entries but for one.
    pub entries_mask: [u32; BY_PART],
    /// By part: the same of the table of groups. 0: there is no group.
    pub groups_mask: [u32; BY_PART],
}

/// What is judged at an interface: bit 0, packets of this host itself; above it the
/// subject number of who is behind the interface. 0: nothing.
#[inline(always)]
#[must_use]
pub const fn guard(behind: u32, host: bool) -> u32 {
    behind << 1 | host as u32
}

/// Whether packets of this host itself are judged.
#[inline(always)]
#[must_use]
pub const fn guards_host(guard: u32) -> bool {
    guard & 1 != 0
}

/// The subject number of who is behind the interface.
#[inline(always)]
#[must_use]
pub const fn guards_behind(guard: u32) -> u32 {
    guard >> 1
}

/// What `Entry::drop_reason` of a flow and that of an event is if a policy denied the
/// packet: none of the kernel's.
pub const DENIED_BY_POLICY: u32 = u32::MAX;

/// What a process hears that opens a connection which a policy denies.
pub mod deny_error {
    /// Nothing: its packets are dropped.
    pub const SILENT: u32 = 0;
    /// `EPERM`, "Operation not permitted".
    pub const EPERM: u32 = 1;
    /// `ECONNREFUSED`, "Connection refused". Kernel 5.18.
    pub const REFUSED: u32 = 2;
}

/// Verdicts.
pub mod verdict {
    /// It is not judged, or not yet.
    pub const NONE: u32 = 0;
    /// Let through.
    pub const ALLOW: u32 = 1;
    /// Not let through.
    pub const DENY: u32 = 2;
    /// Let through, and told that a policy in audit mode would deny it.
    pub const AUDIT: u32 = 3;
}

/// A verdict and the number of its reason, which the daemon knows: the verdict in the
/// lowest two bits. 0 is none.
pub type Decision = u32;

/// This side of the flow is not judged at the interfaces of this host itself, since it
/// is not this host.
pub const NOT_HERE: Decision = decision(verdict::NONE, 1);

/// Reasons that can be told apart.
pub const REASONS: u32 = 1 << 20;

/// A decision for this reason.
#[inline(always)]
#[must_use]
pub const fn decision(verdict: u32, reason: u32) -> Decision {
    reason << 2 | verdict
}

/// The verdict of a decision.
#[inline(always)]
#[must_use]
pub const fn verdict_of(decision: Decision) -> u32 {
    decision & 3
}

/// The reason of a decision.
#[inline(always)]
#[must_use]
pub const fn reason_of(decision: Decision) -> u32 {
    decision >> 2 & (REASONS - 1)
}

/// A decision as a flow remembers it: with the last bits of the generation that it
/// was made in, above. The daemon sees to it that none is older than `GENERATIONS`.
#[inline(always)]
#[must_use]
pub const fn remembered(decision: Decision, generation: u32) -> u32 {
    decision | generation << GENERATION_SHIFT
}

/// Whether a decision that a flow remembers is of this generation.
#[inline(always)]
#[must_use]
pub const fn is_of(remembered: u32, generation: u32) -> bool {
    remembered >> GENERATION_SHIFT == generation & (GENERATIONS - 1) && decision_of(remembered) != 0
}

/// The decision without its generation.
#[inline(always)]
#[must_use]
pub const fn decision_of(remembered: u32) -> Decision {
    remembered & ((1 << GENERATION_SHIFT) - 1)
}

const GENERATION_SHIFT: u32 = 22;
/// Generations that remembered decisions are told apart by.
pub const GENERATIONS: u32 = 1 << (32 - GENERATION_SHIFT);

/// From this address on, to the next range, peers are of a class. Addresses are in
/// host order; the first range begins at 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range4 {
    /// First address.
    pub from: u32,
    /// Class of peers.
    pub class: u32,
}

/// The ranges of IPv4 that begin within a block of 65,536 addresses, and the one that
/// reaches into it: at least one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first one's number.
    pub start: u32,
    /// How many.
    pub len: u32,
}

/// Blocks of IPv4 addresses.
pub const BLOCKS: u32 = 1 << 16;

/// The same as `Range4` for IPv6, the upper half of the address first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range6 {
    /// First address.
    pub from: [u64; 2],
    /// Class of peers.
    pub class: u32,
    /// Zero.
    pub pad: u32,
}

/// Class of entries that are for every peer. No address is of it.
pub const ANY_CLASS: u32 = 0;
/// Class of this host's own addresses, by which it is known what goes to this host.
pub const HOST_CLASS: u32 = 1;
/// Classes that can be told apart.
pub const CLASSES: u32 = 1 << 20;

/// How somebody is judged in a direction.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Number of the rules; those who have the same rules share them.
    pub rules: u32,
    /// Bits of the port that entries tell, as a set of bits: bit 0 to 16. Bit
    /// `EVERY_PROTOCOL`: entries for every protocol.
    pub lengths: u32,
    /// What becomes of a connection that no entry is about.
    pub otherwise: Decision,
    /// His own class, as a peer of others; 0 if he is nobody.
    pub own_class: u32,
}

impl Scope {
    /// Whether any rule is about him.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        let Self {
            rules,
            lengths,
            otherwise,
            ..
        } = *self;
        (rules, lengths, otherwise) != (0, 0, 0)
    }
}

/// See `Scope::lengths`.
pub const EVERY_PROTOCOL: u32 = 17;

/// Somebody who is judged: by what direction a connection has, seen from him.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Others connect to him.
    pub ingress: Scope,
    /// He connects to others.
    pub egress: Scope,
}

/// Subject number of nobody: not judged.
pub const NO_SUBJECT: u32 = 0;

/// Processes of a cgroup are somebody of his own: an entry of a table with open
/// addressing, see `places`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Number of the cgroup in the unified hierarchy; 0 for a free place.
    pub cgroup: u64,
    /// His number as one who is judged.
    pub subject: u32,
    /// His class as a peer.
    pub class: u32,
}

/// An entry of a rule, in a table with open addressing, see `places`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// As `key`; 0 for a free place.
    pub key: u64,
    /// What becomes of the connection.
    pub decision: Decision,
    /// Zero.
    pub pad: u32,
}

/// Key of an entry: for these rules, the class of the peer, and the ports of a protocol
/// that begin as this one does. Never 0.
#[inline(always)]
#[must_use]
pub const fn key(rules: u32, class: u32, protocol: u8, length: u32, port: u16) -> u64 {
    // A one before the bits that are told: blocks of any length are other numbers.
    let block = 1 << length | (port as u64) >> (16 - length);
    (rules as u64 & 0xffff) << 48
        | (class as u64 & 0xf_ffff) << 25
        | (protocol as u64) << 17
        | block
}

/// Key of an entry for every protocol.
#[inline(always)]
#[must_use]
pub const fn key_of_every_protocol(rules: u32, class: u32) -> u64 {
    // Protocol 0 is none that a packet ends with: IPv6's hop-by-hop options.
    key(rules, class, 0, 0, 0)
}

/// Places that a key may have, from `first_place` on; the table begins anew at its
/// end. Who makes a table takes a larger one, up to the bound, if a key finds none free.
pub const PLACES: u32 = 16;

/// The first place of a key in a table whose length is this mask and one.
#[inline(always)]
#[must_use]
pub const fn first_place(key: u64, mask: u32) -> u32 {
    let mixed = (key ^ key >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32 & mask
}
