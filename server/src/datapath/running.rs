//! The running datapath: attachments kept in step with the interfaces, and the
//! reader's thread.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
};
use sextant_ebpf_common::{DIRECT_SLOTS, EXTRA_SLOTS, Joints, LOOPBACK_ZONES, interface_parts};
use tokio::{sync::watch, time::MissedTickBehavior};

use super::{
    Counters, DatapathError, DropReasons, Holders, InterfaceChoice, Link, LinkWatch, Links, Loaded,
    Losses, Objects, Predecessors, Reader, Report, Role, RuleTables, Sweeper, Timeouts, Tuner,
    Vlans, Volumes,
    attach::Attachments,
    balance::Balance,
    cgroup_links::CgroupLinks,
    counters::{Attached, Unobserved, direct_slot},
    ending::Endings,
    ends::Ends,
    hook::AttachError,
    joints,
};

/// Attachments and interface counters are looked at so often.
const CHECK: Duration = Duration::from_secs(5);

/// Address spaces of interfaces: the first glob that matches gives the zone.
pub type Zones = Vec<(globset::GlobMatcher, u16)>;

/// Where what is kept by interface is; clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Slots(Arc<ArcSwap<BTreeMap<u32, u32>>>);

impl Slots {
    /// The slot of an interface, by its number.
    #[must_use]
    pub fn of(&self, interface: u32) -> Option<u32> {
        direct_slot(interface).or_else(|| self.0.load().get(&interface).copied())
    }
}

/// Programs in the kernel and the interfaces that they are attached to.
pub struct Datapath {
    /// Holds what is not held by attachments: the program for drops.
    _ebpf: Ebpf,
    attachments: Attachments,
    cgroup_links: CgroupLinks,
    balance: Balance,
    choice: InterfaceChoice,
    zones: Zones,
    slot_map: HashMap<MapData, u32, u32>,
    zone_map: Array<MapData, u16>,
    vlans: Vlans,
    namespace_map: HashMap<MapData, u64, u32>,
    joints_map: Array<MapData, Joints>,
    /// As in the map, by slot.
    joints: BTreeMap<u32, Joints>,
    /// Slots of interfaces with large indexes.
    extra: BTreeMap<u32, u32>,
    /// The same, for others.
    slots: Slots,
    /// Those that none has.
    free: BTreeSet<u32>,
    /// As in `Links`.
    refused: BTreeMap<String, String>,
    rules: Option<RuleTables>,
    predecessors: Predecessors,
    objects: Objects,
    volumes: Volumes,
    tuner: Tuner,
    counters: Counters,
    losses: Losses,
    reasons: DropReasons,
    report: Report,
    watch: LinkWatch,
}

impl Datapath {
    /// Attaches to the chosen interfaces; reader and sweeper are run by the caller.
    ///
    /// # Errors
    ///
    /// When a named interface does not exist or one of the two cannot be made.
    pub async fn start(
        loaded: Loaded,
        choice: InterfaceChoice,
        zones: Zones,
        timeouts: Timeouts,
        force_clsact: bool,
        watch: LinkWatch,
    ) -> Result<(Self, Reader, Sweeper, Option<Holders>), DatapathError> {
        loaded.warn();
        let counters = Counters::new(
            [loaded.counts, loaded.tallies, loaded.unjudged],
            loaded.totals,
        );
        let volumes = Volumes::new(loaded.tables.capacities);
        let tuner = Tuner::new(loaded.tuning);
        let (ends, losses) = (Ends::new()?, Losses::default());
        let mut reader = Reader::new(
            [loaded.denied, loaded.observed, loaded.payload],
            loaded.rests,
            (loaded.processes, loaded.found),
            ends.clone(),
            counters.clone(),
            volumes.clone(),
            losses.clone(),
        )?;
        if loaded.ends_denied {
            reader.end_denied(Endings::start(volumes.clone())?);
        }
        let mut sweeper = Sweeper::new(
            loaded.tables,
            counters.clone(),
            volumes.clone(),
            tuner.clone(),
            timeouts,
            ends,
        )?;
        let is_successor = loaded
            .pins
            .as_ref()
            .is_some_and(|pins| pins.found().is_some());
        let access = watch.requests();
        let attachments = Attachments::new(loaded.programs, access, loaded.pins, force_clsact);
        let extra = extra_slots(&loaded.slots);
        let mut datapath = Self {
            report: Report::of_running(
                attachments.hook(),
                &loaded.drops,
                &loaded.who,
                [&loaded.nat, &loaded.again],
                loaded.several_namespaces,
            ),
            attachments,
            cgroup_links: loaded.cgroup_links,
            _ebpf: loaded.ebpf,
            balance: Balance::default(),
            choice,
            zones,
            slot_map: loaded.slots,
            zone_map: loaded.zones,
            vlans: loaded.vlans,
            namespace_map: loaded.namespaces,
            joints_map: loaded.joints,
            joints: BTreeMap::new(),
            free: (DIRECT_SLOTS..DIRECT_SLOTS + EXTRA_SLOTS)
                .filter(|slot| !extra.values().any(|used| used == slot))
                .collect(),
            extra,
            slots: Slots::default(),
            refused: BTreeMap::new(),
            rules: Some(loaded.rules),
            predecessors: loaded.predecessors,
            objects: loaded.objects,
            volumes,
            tuner,
            counters,
            losses,
            reasons: loaded.reasons,
            watch,
        };
        let links = datapath.watch.subscribe().borrow().clone();
        datapath.choice.check(&links)?;
        datapath.sync(&links);
        datapath.attachments_or_error()?;
        if is_successor {
            let flows = sweeper.take_over();
            tracing::info!(flows, "took over what the sextantd before kept in force");
        }
        if let Err(error) = datapath.attachments.remove_unused() {
            tracing::warn!(%error, "something that an earlier sextantd pinned is not removed");
        }
        Ok((datapath, reader, sweeper, loaded.holders))
    }

    /// The programs' counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// What was lost of late.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.losses.clone()
    }

    /// Programs and maps in the kernel.
    #[must_use]
    pub fn objects(&self) -> Objects {
        self.objects.clone()
    }

    /// What the tables held and the reader did.
    #[must_use]
    pub fn volumes(&self) -> Volumes {
        self.volumes.clone()
    }

    /// What can be changed while it runs.
    #[must_use]
    pub fn tuner(&self) -> Tuner {
        self.tuner.clone()
    }

    /// What this kernel can do, and what was chosen.
    #[must_use]
    pub fn report(&self) -> Report {
        self.report.clone()
    }

    /// The tables of policies, once.
    pub fn take_rules(&mut self) -> Option<RuleTables> {
        self.rules.take()
    }

    /// What daemons before may still have in force.
    #[must_use]
    pub fn predecessors(&self) -> Predecessors {
        self.predecessors.clone()
    }

    /// Slots of interfaces.
    #[must_use]
    pub fn slots(&self) -> Slots {
        self.slots.clone()
    }

    /// VLANs that tell flows apart.
    #[must_use]
    pub fn vlans(&self) -> Vlans {
        self.vlans.clone()
    }

    /// Names of the kernel's drop reasons.
    #[must_use]
    pub fn drop_reasons(&self) -> DropReasons {
        Arc::clone(&self.reasons)
    }

    /// Follows the interfaces until `stop` changes; then detaches.
    ///
    /// # Errors
    ///
    /// When a task that watches interfaces ended, so that new ones are not seen.
    pub async fn follow(mut self, mut stop: watch::Receiver<bool>) -> Result<(), DatapathError> {
        let mut links = self.watch.subscribe();
        let mut overruns = links.borrow().overruns;
        let mut checks = tokio::time::interval(CHECK);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = loop {
            tokio::select! {
                changed = links.changed() => {
                    if changed.is_err() {
                        break Err(self.watch.failed().await);
                    }
                    let now = links.borrow_and_update().clone();
                    // Something may have happened to the programs, too, that
                    // nothing tells of any more.
                    let is_lost = now.overruns != overruns;
                    overruns = now.overruns;
                    blocking(|| {
                        self.sync(&now);
                        if is_lost {
                            self.check();
                        }
                    });
                }
                _ = checks.tick() => blocking(|| self.check()),
                error = self.watch.failed() => break Err(error),
                () = stopped(&mut stop) => break Ok(()),
            }
        };
        blocking(|| self.attachments.clear());
        ended
    }

    /// None of several is attached: that is no state to start in.
    fn attachments_or_error(&self) -> Result<(), DatapathError> {
        let mut refused = self.attachments.refused();
        if self.attachments.iter().next().is_some() {
            return Ok(());
        }
        match refused.next() {
            None => Ok(()),
            Some((_, AttachError::Busy)) => Err(DatapathError::Busy),
            Some((link, error)) => Err(DatapathError::NothingAttached {
                interface: link.full_name(),
                reason: error.to_string(),
            }),
        }
    }

    fn sync(&mut self, links: &Links) {
        self.number_namespaces(links);
        self.assign_slots(links);
        self.tell_joints(links);
        self.attachments.sync(links, &self.choice);
        self.refused.clone_from(&links.refused);
        self.tell();
    }

    /// Looks whether the programs are where they should be and see what passes.
    fn check(&mut self) {
        self.attachments.check();
        self.cgroup_links.check();
        self.counters.set_missing(self.cgroup_links.missing());
        self.tell();
        let links: Vec<Link> = self.links().cloned().collect();
        let access = self.watch.requests();
        let unseen = self.balance.take(&links, &self.counters, &access);
        for interface in self.counters.add_unseen(&unseen) {
            tracing::warn!(%interface, "the kernel counted packets on the interface that no program saw: they bypass the hook, or something takes them before it");
        }
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        self.attachments.iter().map(|(_, attached)| &attached.link)
    }

    /// Tells status and metrics what is attached now.
    fn tell(&self) {
        let attached = self.attachments.iter().filter_map(|(index, attached)| {
            let slot = self.slot_of(index)?;
            Some(Attached {
                index,
                name: attached.link.full_name(),
                hook: attached.hook.name(),
                slot,
                since: SystemTime::now(),
                birth: attached.link.birth,
                unseen: [0; 2],
                unseen_at: None,
                ahead: attached.ahead.clone(),
                failure: attached.failure.clone(),
            })
        });
        let refused = self.attachments.refused();
        let refused = refused.map(|(link, error)| Unobserved {
            name: link.full_name(),
            reason: error.to_string(),
        });
        let namespaces = self.refused.iter().map(|(name, reason)| Unobserved {
            name: name.clone(),
            reason: reason.clone(),
        });
        let without_slot = self
            .links()
            .filter(|link| self.slot_of(link.index).is_none());
        let without_slot = without_slot.map(|link| Unobserved {
            name: link.full_name(),
            reason: format!("its packets are in flows, but there are more interfaces than the {EXTRA_SLOTS} that have totals"),
        });
        let unobserved = refused.chain(namespaces).chain(without_slot);
        self.counters
            .set_attached(attached.collect(), unobserved.collect());
    }

    /// The programs know a namespace before its first packet is counted.
    fn number_namespaces(&mut self, links: &Links) {
        let now: BTreeMap<u64, u32> = links
            .by_index
            .values()
            .filter_map(|link| {
                let (number, _) = interface_parts(link.index);
                Some((link.namespace.as_ref()?.cookie, number))
            })
            .collect();
        let known: Vec<u64> = self.namespace_map.keys().flatten().collect();
        for gone in known.iter().filter(|cookie| !now.contains_key(cookie)) {
            let _ = self.namespace_map.remove(gone);
        }
        for (cookie, number) in now {
            if let Err(error) = self.namespace_map.insert(cookie, number, 0) {
                tracing::warn!(number, %error, "network namespace not numbered");
            }
        }
    }

    fn zone(&self, link: &Link) -> u16 {
        let Some(namespace) = &link.namespace else {
            return self.zone_by_name(link).unwrap_or(0);
        };
        if link.role == Role::Loopback {
            return LOOPBACK_ZONES + interface_parts(link.index).0 as u16;
        }
        self.zone_by_name(link).unwrap_or(namespace.zone)
    }

    fn zone_by_name(&self, link: &Link) -> Option<u16> {
        let mut zones = self.zones.iter();
        zones
            .find(|(glob, _)| glob.is_match(&link.name))
            .map(|(_, zone)| *zone)
    }

    /// Slots and zones are in place before the first packet is counted.
    fn assign_slots(&mut self, links: &Links) {
        let gone: Vec<u32> = self
            .extra
            .keys()
            .copied()
            .filter(|index| links.get(*index).is_none())
            .collect();
        for index in gone {
            self.free.extend(self.extra.remove(&index));
            let _ = self.slot_map.remove(&index);
        }
        for link in links.by_index.values() {
            if self.attachments.has(link) || !self.choice.takes(link) {
                continue;
            }
            let Some(slot) = self.slot(link.index) else {
                tracing::debug!(interface = %link.name, "more interfaces than slots; its totals are not kept");
                continue;
            };
            self.counters.clear_slot(slot);
            let zone = self.vlans.of_interface(self.zone(link), &links.vlans(link));
            if let Err(error) = self.zone_map.set(slot, zone, 0) {
                tracing::warn!(interface = %link.name, %error, "zone not set");
            }
        }
        self.slots.0.store(Arc::new(self.extra.clone()));
    }

    /// The programs know how interfaces are joined before they see their packets.
    fn tell_joints(&mut self, links: &Links) {
        let found = joints::find(links, |link| self.choice.takes(link));
        let now: BTreeMap<u32, Joints> = found
            .into_iter()
            .filter_map(|(index, joints)| Some((self.slot_of(index)?, joints)))
            .collect();
        let gone = self.joints.keys().filter(|slot| !now.contains_key(slot));
        let gone = gone.map(|slot| (*slot, Joints::default()));
        let changed = now.iter().map(|(slot, joints)| (*slot, *joints));
        let changed = changed.filter(|(slot, joints)| self.joints.get(slot) != Some(joints));
        for (slot, joints) in gone.chain(changed) {
            if let Err(error) = self.joints_map.set(slot, joints, 0) {
                tracing::warn!(slot, %error, "joints of an interface not set; packets may be counted twice");
            }
        }
        self.joints = now;
    }

    fn slot_of(&self, index: u32) -> Option<u32> {
        direct_slot(index).or_else(|| self.extra.get(&index).copied())
    }

    fn slot(&mut self, index: u32) -> Option<u32> {
        if let Some(slot) = self.slot_of(index) {
            return Some(slot);
        }
        let slot = self.free.first().copied()?;
        self.slot_map.insert(index, slot, 0).ok()?;
        self.free.remove(&slot);
        self.extra.insert(index, slot);
        Some(slot)
    }
}

/// Slots that a daemon before gave to interfaces.
fn extra_slots(map: &HashMap<MapData, u32, u32>) -> BTreeMap<u32, u32> {
    map.iter().flatten().collect()
}

/// The kernel may wait for all CPUs before it answers: meanwhile the runtime
/// goes on.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone is as good as a signal.
    let _ = stop.wait_for(|stop| *stop).await;
}
