//! Loads the eBPF object: sizes, constants, programs. Two steps: `Settings`
//! say what is wanted, `Loaded` is what the kernel accepted.

use std::os::fd::AsFd as _;

use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf},
    programs::RawTracePoint,
};
use sextant_ebpf_common::{
    CauseCount, DropLayout, EndsLayout, InterfaceTotals, Joints, NatLayout, NetLayout, Tuning,
    VLANS, WhoLayout,
    policy::{PARTS, deny_error},
    slot::{Hashed, Slot, slots_for, taken_words},
};

use super::{
    DatapathError, Holders, Objects, again,
    bpf::{self, Plain},
    cgroup_links::CgroupLinks,
    classifiers,
    flow_table::{self, FlowTable, Seeds},
    holders::Found,
    kernel,
    layout::{self, DropReasons, Types},
    namespace::own_cookie,
    pins::{KEPT, Pins, Predecessors},
    program::Programs,
    refusal::{chain, refused},
    rules::RuleTables,
    settings::Settings,
    tables::{FLOW_TABLES, TAKEN, Tables},
    vlans::Vlans,
    who::{self, Who},
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sextant.o"));

/// For so long after the start, flows may have begun before it.
const SETTLE_NS: u64 = 3_000_000_000;

/// Bytes of the ring of processes, as the programs have it.
const PROCESS_RING_BYTES: u32 = 1 << 20;

/// What came of the program for packets that the kernel drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Drops {
    /// Not wanted.
    Off,
    /// It runs.
    Observed,
    /// It does not, and why.
    Refused(String),
}

/// The maps and programs in the kernel; gone when dropped.
pub struct Loaded {
    pub(super) ebpf: Ebpf,
    pub(super) programs: Programs,
    pub(super) drops: Drops,
    pub(super) several_namespaces: bool,
    pub(super) observed: RingBuf<MapData>,
    pub(super) denied: RingBuf<MapData>,
    pub(super) payload: RingBuf<MapData>,
    /// Whether the reader rests.
    pub(super) rests: Array<MapData, u32>,
    pub(super) tables: Tables,
    pub(super) rules: RuleTables,
    pub(super) reasons: DropReasons,
    pub(super) objects: Objects,
    pub(super) tuning: Array<MapData, Tuning>,
    pub(super) tallies: PerCpuArray<MapData, CauseCount>,
    /// What could not be judged and did not go on, by cause.
    pub(super) unjudged: PerCpuArray<MapData, CauseCount>,
    pub(super) counts: PerCpuArray<MapData, CauseCount>,
    pub(super) totals: PerCpuArray<MapData, InterfaceTotals>,
    pub(super) slots: HashMap<MapData, u32, u32>,
    pub(super) zones: Array<MapData, u16>,
    pub(super) vlans: Vlans,
    pub(super) joints: Array<MapData, Joints>,
    pub(super) namespaces: HashMap<MapData, u64, u32>,
    pub(super) who: Who,
    /// Why translated connections are not told, if they are not.
    pub(super) nat: Result<(), String>,
    /// Why what TCP sends again is not told at once, if it is not.
    pub(super) again: Result<(), String>,
    pub(super) processes: RingBuf<MapData>,
    pub(super) found: Found,
    pub(super) holders: Option<Holders>,
    pub(super) pins: Option<Pins>,
    pub(super) cgroup_links: CgroupLinks,
    /// Connections that policies deny are ended.
    pub(super) ends_denied: bool,
    /// What earlier daemons may have in force.
    pub(super) predecessors: Predecessors,
}

impl Loaded {
    /// Creates the maps and loads the programs; nothing is attached yet.
    ///
    /// # Errors
    ///
    /// When a right is missing or the kernel refuses the object.
    pub fn new(settings: &Settings) -> Result<Self, DatapathError> {
        if OBJECT.is_empty() {
            return Err(DatapathError::NoPrograms);
        }
        let mut types = Types::default();
        let pins = settings.open_pins()?;
        let (layout, who) = who::layout(settings, &types);
        let nat = types.find(layout::nat::find);
        let mut load = |who, nat| Self::load(settings, pins.as_ref(), &mut types, who, nat);
        let loaded = if !matches!(who, Who::Known(_)) && nat.is_err() {
            load((layout, who), nat)
        } else {
            load((layout, who.clone()), nat).or_else(|error| {
                // An older kernel may lack what these need alone.
                let why = error.to_string();
                let who = match who {
                    Who::Known(_) => Who::Refused(why.clone()),
                    other => other,
                };
                load((WhoLayout::default(), who), Err(why)).map_err(|_| error)
            })
        };
        let mut loaded = loaded?;
        if let Some(pins) = &pins {
            loaded.predecessors = pins.predecessors();
        }
        loaded.pins = pins;
        Ok(loaded)
    }

    /// Tells what is off.
    pub(super) fn warn(&self) {
        if let Drops::Refused(reason) = &self.drops {
            tracing::warn!(%reason, "packets that the kernel drops are not observed");
        }
        match &self.who {
            Who::Refused(reason) => {
                tracing::warn!(%reason, "which process is behind a flow is not known");
            }
            Who::Known(Some(limit)) => {
                tracing::warn!(%limit, "which process is behind a flow is known in part");
            }
            Who::Known(None) | Who::Off => {}
        }
    }

    fn load(
        settings: &Settings,
        pins: Option<&Pins>,
        types: &mut Types,
        (layout, who): (WhoLayout, Who),
        nat: Result<NatLayout, String>,
    ) -> Result<Self, DatapathError> {
        let tells_who = matches!(who, Who::Known(_));
        let (drop_layout, reasons, mut drops) = drop_layout(settings.drops, types);
        let slots = [settings.flows4, settings.flows6].map(slots_for);
        let found = pins.and_then(Pins::found);
        let seeds = found.map_or_else(flow_table::seeds, Ok);
        let seeds = seeds.map_err(|source| DatapathError::System {
            action: "drawing the secret numbers of the flow tables",
            source,
        })?;
        let ends = types.find(layout::tcp::find);
        let layouts = Layouts {
            who: layout,
            tells_who,
            ends: *ends.as_ref().unwrap_or(&EndsLayout::ABSENT),
            nat: *nat.as_ref().unwrap_or(&NatLayout::ABSENT),
            net: net_layout(settings.several_namespaces, types)?,
            drop: drop_layout,
            own_netns: own_netns(settings.deny_error)?,
        };
        types.forget();
        let mut ebpf = create(settings, pins, slots, &seeds, &layouts)?;
        // Verifying takes memory too.
        bpf::give_memory_back();
        classifiers::load(&mut ebpf, settings.verifies_at_once)?;
        if drops == Drops::Observed {
            drops = watch_drops(&mut ebpf);
        }
        let again = ends.and_then(|_| again::watch(&mut ebpf));
        let mut links = CgroupLinks::default();
        let found = Found::default();
        let (who, holders) = on_cgroups(&mut ebpf, settings, (who, &found), &mut links, pins)?;
        let objects = Objects::hold(&ebpf)?;
        let rules = RuleTables::take(&ebpf, settings.rooms)?;
        if let Some(pins) = pins {
            pins.complete(&seeds)
                .map_err(|source| DatapathError::System {
                    action: "pinning the maps of policies",
                    source,
                })?;
        }
        bpf::give_memory_back();
        Ok(Self {
            programs: classifiers::attachable(&ebpf)?,
            drops,
            several_namespaces: settings.several_namespaces,
            cgroup_links: links,
            objects,
            tuning: tuning(&mut ebpf, settings)?,
            tallies: typed(&mut ebpf, "TALLY")?,
            observed: typed(&mut ebpf, "OBSERVED")?,
            denied: typed(&mut ebpf, "DENIED")?,
            payload: typed(&mut ebpf, "PAYLOAD")?,
            rests: typed(&mut ebpf, "RESTS")?,
            tables: Tables {
                flows4: flow_table(&mut ebpf, 0, slots, seeds)?,
                flows6: flow_table(&mut ebpf, 1, slots, seeds)?,
                drops: hash(&mut ebpf, "DROPS")?,
                capacities: [settings.flows4, settings.flows6, settings.flows_dropped],
                clock_offset: typed(&mut ebpf, "CLOCK_OFFSET")?,
                ages: rules.ages(),
            },
            rules,
            reasons,
            unjudged: typed(&mut ebpf, "UNJUDGED")?,
            counts: typed(&mut ebpf, "COUNTS")?,
            totals: typed(&mut ebpf, "TOTALS")?,
            slots: typed(&mut ebpf, "SLOTS")?,
            zones: typed(&mut ebpf, "ZONES")?,
            vlans: Vlans::take(&mut ebpf, settings.vlan_in_key)?,
            joints: typed(&mut ebpf, "JOINTS")?,
            namespaces: typed(&mut ebpf, "NAMESPACES")?,
            who,
            nat: nat.map(drop),
            again,
            processes: typed(&mut ebpf, "PROCESSES")?,
            found,
            holders,
            ebpf,
            pins: None,
            ends_denied: settings.ends_denied,
            predecessors: Predecessors::of(&settings.pins),
        })
    }
}

/// Attaches the programs for sockets, as far as they are wanted: who is behind them, and
/// who holds those that are there.
fn on_cgroups(
    ebpf: &mut Ebpf,
    settings: &Settings,
    (mut who, found): (Who, &Found),
    links: &mut CgroupLinks,
    pins: Option<&Pins>,
) -> Result<(Who, Option<Holders>), DatapathError> {
    let (mut holders, mut connecting) = (None, None);
    if matches!(who, Who::Known(_)) {
        let round = typed(ebpf, "ROUND")?;
        (who, holders, connecting) = who::attach(ebpf, round, found, links, pins);
    }
    if settings.deny_error != deny_error::SILENT {
        let connecting = connecting.unwrap_or_else(|| who::attach_to_connecting(ebpf, links, pins));
        connecting.map_err(|detail| DatapathError::NoDenyError { detail })?;
    }
    Ok((who, holders))
}

/// Where things are in the kernel's structures, as far as the programs are told.
struct Layouts {
    who: WhoLayout,
    tells_who: bool,
    nat: NatLayout,
    ends: EndsLayout,
    net: NetLayout,
    drop: DropLayout,
    own_netns: u64,
}

/// Needed only where who connects is answered.
fn own_netns(deny_error: u32) -> Result<u64, DatapathError> {
    match deny_error {
        deny_error::SILENT => Ok(0),
        _ => own_cookie().map_err(|error| DatapathError::NoDenyError {
            detail: format!("the network namespace has no cookie (kernel 5.14): {error}"),
        }),
    }
}

/// The maps, and programs that are not loaded yet.
fn create(
    settings: &Settings,
    pins: Option<&Pins>,
    slots: [u32; 2],
    seeds: &Seeds,
    layouts: &Layouts,
) -> Result<Ebpf, DatapathError> {
    // Of a daemon whose flows are there no beginning was missed.
    let settles = match pins.and_then(Pins::found) {
        Some(_) => 0,
        None => SETTLE_NS,
    };
    let settled_at = bpf::monotonic_ns() + settles;
    let vlans = if settings.vlan_in_key { VLANS } else { 1 };
    let mut loader = EbpfLoader::new();
    if let Some(pins) = pins {
        for name in KEPT {
            loader.map_pin_path(name, pins.path(name));
        }
    }
    loader
        // Nothing in the object is relocated by the kernel's types, which
        // are some 20 MiB to read.
        .btf(None)
        .verifier_log_level(verifier_log_level())
        .map_max_entries(FLOW_TABLES[0], slots[0])
        .map_max_entries(FLOW_TABLES[1], slots[1])
        .map_max_entries(TAKEN[0], taken_words(slots[0]))
        .map_max_entries(TAKEN[1], taken_words(slots[1]))
        .override_global("SLOTS4", &slots[0], true)
        .override_global("SLOTS6", &slots[1], true)
        .override_global("HASH_SEEDS", seeds, true)
        .map_max_entries("RANGES4", PARTS * settings.rooms.ranges4)
        .map_max_entries("RANGES6", PARTS * settings.rooms.ranges6)
        .map_max_entries("SUBJECTS", PARTS * settings.rooms.subjects)
        .map_max_entries("GROUPS", PARTS * settings.rooms.groups)
        .map_max_entries("ENTRIES", PARTS * settings.rooms.entries)
        .override_global("POLICY_ROOMS", &settings.rooms.in_order(), true)
        .map_max_entries("DROPS", settings.flows_dropped)
        .map_max_entries("OBSERVED", settings.observed_ring_bytes)
        .map_max_entries("DENIED", settings.denied_ring_bytes)
        .map_max_entries("PAYLOAD", settings.payload_ring_bytes)
        .override_global("PAYLOAD_LEVEL", &level(settings.payload_ring_bytes), true)
        .override_global("PAYLOAD_RATE", &settings.payload_rate, true)
        .override_global("OBSERVED_LEVEL", &level(settings.observed_ring_bytes), true)
        .override_global("DENIED_LEVEL", &level(settings.denied_ring_bytes), true)
        .override_global("SETTLED_AT_NS", &settled_at, true)
        .override_global("JIFFY_NS", &bpf::jiffy_ns(), true)
        .override_global(
            "SEVERAL_NAMESPACES",
            &u32::from(settings.several_namespaces),
            true,
        )
        .override_global("SEVERAL_ZONES", &u32::from(settings.several_zones), true)
        .override_global("VLAN_IN_KEY", &u32::from(settings.vlan_in_key), true)
        .map_max_entries("VLAN_SPACES", vlans)
        .map_max_entries("VLAN_BY_NUMBER", vlans)
        .override_global("PROCESS_LEVEL", &u64::from(PROCESS_RING_BYTES / 4), true)
        .override_global("TELLS_WHO", &u32::from(layouts.tells_who), true)
        .override_global("WHO_LAYOUT", &layouts.who, true)
        .override_global("NAT_LAYOUT", &layouts.nat, true)
        .override_global("ENDS_LAYOUT", &layouts.ends, true)
        .override_global("NET_LAYOUT", &layouts.net, true)
        .override_global("OWN_NETNS", &layouts.own_netns, true)
        .override_global("DENY_ERROR", &settings.deny_error, true)
        .override_global("DENY_UNKNOWN", &u32::from(settings.denies_unknown), true)
        .override_global("DROP_LAYOUT", &layouts.drop, true)
        .load(OBJECT)
        .map_err(|error| refused("creating eBPF maps", &error))
}

/// How full a ring may be before its reader is woken from a pause: an eighth, so
/// that a flood does not fill the rest while the reader wakes up.
fn level(ring_bytes: u32) -> u64 {
    u64::from(ring_bytes / 8)
}

/// Needed only where there are several namespaces.
fn net_layout(wanted: bool, types: &Types) -> Result<NetLayout, DatapathError> {
    if !wanted {
        return Ok(NetLayout::ABSENT);
    }
    let found = types.find(layout::find_net);
    found.map_err(|detail| DatapathError::NamespacesUnsupported { detail })
}

fn drop_layout(wanted: bool, types: &Types) -> (DropLayout, DropReasons, Drops) {
    let absent = |drops| (DropLayout::ABSENT, DropReasons::default(), drops);
    if !wanted {
        return absent(Drops::Off);
    }
    match types.find(layout::find) {
        Ok((layout, reasons)) => (layout, reasons, Drops::Observed),
        Err(reason) => absent(Drops::Refused(reason)),
    }
}

/// The programs for packets work without it, so a failure is told and no more.
fn watch_drops(ebpf: &mut Ebpf) -> Drops {
    let Some(program): Option<&mut RawTracePoint> = ebpf
        .program_mut("sextant_drop")
        .and_then(|program| program.try_into().ok())
    else {
        return Drops::Refused("the build has no program for them".into());
    };
    match program.load().and_then(|()| program.attach("kfree_skb")) {
        Ok(_) => Drops::Observed,
        Err(error) => Drops::Refused(format!("{}; {}", chain(&error), kernel::remedy())),
    }
}

/// Without a log a refused program is verified once; with one, again for each
/// size that the log does not fit in.
fn verifier_log_level() -> VerifierLogLevel {
    if tracing::enabled!(tracing::Level::DEBUG) {
        VerifierLogLevel::default()
    } else {
        VerifierLogLevel::DISABLE
    }
}

/// The setting is in place before the first packet.
fn tuning(ebpf: &mut Ebpf, settings: &Settings) -> Result<Array<MapData, Tuning>, DatapathError> {
    let mut map: Array<MapData, Tuning> = typed(ebpf, "TUNING")?;
    let tuning = Tuning {
        active_interval_ns: settings.active_interval_ns,
        sampling: 1,
        pad: 0,
    };
    map.set(0, tuning, 0)
        .map_err(|error| refused("setting the event interval", &error))?;
    Ok(map)
}

fn typed<T: TryFrom<Map>>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, DatapathError> {
    ebpf.take_map(name)
        .and_then(|map| T::try_from(map).ok())
        .ok_or(DatapathError::Missing { what: "map", name })
}

fn flow_table<K: Hashed>(
    ebpf: &mut Ebpf,
    family: usize,
    slots: [u32; 2],
    seeds: Seeds,
) -> Result<FlowTable<K>, DatapathError>
where
    Slot<K>: Plain,
{
    let mut array = |name| match ebpf.take_map(name) {
        Some(Map::Array(map)) => Ok(map),
        _ => Err(DatapathError::Missing { what: "map", name }),
    };
    let (flows, taken) = (array(FLOW_TABLES[family])?, array(TAKEN[family])?);
    let maps = [flows.fd().as_fd(), taken.fd().as_fd()];
    FlowTable::new(maps, slots[family], seeds).map_err(|source| DatapathError::System {
        action: "mapping a flow table",
        source,
    })
}

fn hash(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, DatapathError> {
    match ebpf.take_map(name) {
        Some(Map::HashMap(data)) => {
            // A map without a file descriptor would be a bug of aya.
            let _ = data.fd().as_fd();
            Ok(data)
        }
        _ => Err(DatapathError::Missing { what: "map", name }),
    }
}
