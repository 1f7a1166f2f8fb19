//! The running datapath: attachments kept in step with the interfaces, and the
//! reader's thread.

use std::{collections::BTreeMap, sync::Arc};

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
};
use sextant_ebpf_common::{DIRECT_SLOTS, EXTRA_SLOTS, LOOPBACK_ZONES, interface_parts};
use tokio::sync::watch;

use super::{
    Counters, DatapathError, DropReasons, InterfaceChoice, Link, LinkWatch, Links, Loaded, Objects,
    Reader, Role, Timeouts, Tuner, Volumes,
    attach::Attachments,
    clsact,
    counters::{Attached, direct_slot},
};

/// Address spaces of interfaces: the first glob that matches gives the zone.
pub type Zones = Vec<(globset::GlobMatcher, u16)>;

/// Programs in the kernel and the interfaces that they are attached to.
pub struct Datapath {
    ebpf: Ebpf,
    attachments: Attachments,
    choice: InterfaceChoice,
    zones: Zones,
    slot_map: HashMap<MapData, u32, u32>,
    zone_map: Array<MapData, u16>,
    namespace_map: HashMap<MapData, u64, u32>,
    /// Slots of interfaces with large indexes.
    extra: BTreeMap<u32, u32>,
    objects: Objects,
    volumes: Volumes,
    tuner: Tuner,
    counters: Counters,
    reasons: DropReasons,
    watch: LinkWatch,
}

impl Datapath {
    /// Attaches to the chosen interfaces; the reader is run by the caller.
    ///
    /// # Errors
    ///
    /// When a named interface does not exist or the reader cannot be made.
    pub async fn start(
        loaded: Loaded,
        choice: InterfaceChoice,
        zones: Zones,
        timeouts: Timeouts,
        force_clsact: bool,
        watch: LinkWatch,
    ) -> Result<(Self, Reader), DatapathError> {
        let counters = Counters::new(loaded.counts, loaded.tallies, loaded.totals);
        let volumes = Volumes::default();
        let tuner = Tuner::new(loaded.tuning);
        let reader = Reader::new(
            loaded.denied,
            loaded.observed,
            loaded.tables,
            counters.clone(),
            volumes.clone(),
            tuner.clone(),
            timeouts,
        )?;
        let mut datapath = Self {
            ebpf: loaded.ebpf,
            attachments: Attachments::new(force_clsact),
            choice,
            zones,
            slot_map: loaded.slots,
            zone_map: loaded.zones,
            namespace_map: loaded.namespaces,
            extra: BTreeMap::new(),
            objects: loaded.objects,
            volumes,
            tuner,
            counters,
            reasons: loaded.reasons,
            watch,
        };
        let links = datapath.watch.subscribe().borrow().clone();
        datapath.choice.check(&links)?;
        datapath.sync(&links).await;
        if datapath.attachments.is_busy {
            return Err(DatapathError::Busy);
        }
        Ok((datapath, reader))
    }

    /// The programs' counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters.clone()
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

    /// Names of the kernel's drop reasons.
    #[must_use]
    pub fn drop_reasons(&self) -> DropReasons {
        Arc::clone(&self.reasons)
    }

    /// Follows the interfaces until `stop` changes; then detaches.
    pub async fn follow(mut self, mut stop: watch::Receiver<bool>) {
        let mut links = self.watch.subscribe();
        loop {
            tokio::select! {
                changed = links.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let now = links.borrow_and_update().clone();
                    self.sync(&now).await;
                }
                () = stopped(&mut stop) => break,
            }
        }
        self.attachments.clear(&mut self.ebpf);
        self.remove_spare_qdiscs().await;
    }

    async fn sync(&mut self, links: &Links) {
        self.number_namespaces(links);
        self.assign_slots(links);
        self.attachments.sync(&mut self.ebpf, links, &self.choice);
        self.remove_spare_qdiscs().await;
        let attached = self
            .attachments
            .iter()
            .filter_map(|(index, attached)| {
                let slot = direct_slot(index).or_else(|| self.extra.get(&index).copied())?;
                Some(Attached {
                    index,
                    name: attached.full_name(),
                    hook: attached.hook.name(),
                    slot,
                    since: std::time::SystemTime::now(),
                })
            })
            .collect();
        self.counters.set_attached(attached);
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
            self.extra.remove(&index);
            let _ = self.slot_map.remove(&index);
        }
        let known: std::collections::BTreeSet<u32> =
            self.attachments.iter().map(|(index, _)| index).collect();
        for link in links.by_index.values() {
            if known.contains(&link.index) || !self.choice.takes(link) {
                continue;
            }
            let Some(slot) = self.slot(link.index) else {
                tracing::warn!(interface = %link.name, "more interfaces than slots; its totals are not kept");
                continue;
            };
            self.counters.clear_slot(slot);
            let zone = self.zone(link);
            if let Err(error) = self.zone_map.set(slot, zone, 0) {
                tracing::warn!(interface = %link.name, %error, "zone not set");
            }
        }
    }

    fn slot(&mut self, index: u32) -> Option<u32> {
        if let Some(slot) = direct_slot(index).or_else(|| self.extra.get(&index).copied()) {
            return Some(slot);
        }
        let taken: std::collections::BTreeSet<u32> = self.extra.values().copied().collect();
        let free = (DIRECT_SLOTS..DIRECT_SLOTS + EXTRA_SLOTS).find(|slot| !taken.contains(slot))?;
        self.slot_map.insert(index, free, 0).ok()?;
        self.extra.insert(index, free);
        Some(free)
    }

    async fn remove_spare_qdiscs(&mut self) {
        for index in self.attachments.take_spare_qdiscs() {
            if let Some(handle) = self.watch.handle(index) {
                clsact::remove_if_empty(&handle, interface_parts(index).1).await;
            }
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone is as good as a signal.
    let _ = stop.wait_for(|stop| *stop).await;
}
