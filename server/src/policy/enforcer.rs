//! Puts policies in force in the kernel, and again whenever the host changes: who is
//! behind an interface, which units there are, whose addresses are whose.
//!
//! `world` says who can be judged and where; `sextant_policy::compile` makes the tables.

mod world;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use sextant_ebpf_common::policy::Subject;
use sextant_policy::{
    compile::{self, Limits, Sets, Tables, TooLarge},
    endpoint::Endpoint,
    policy::PolicyId,
    set::{Enforcement, PolicySet},
};
use tokio::sync::watch;

use super::{
    enforce::{Cost, Enforce, EnforceError, Hit, InForce, Proposed, Unconfirmed, by_mode},
    verdicts::Verdicts,
};
use crate::datapath::{NoRoom, Rooms, RuleTables};
use world::Scene;
pub use world::Sources;

/// Changes of the host within so long are one.
const TOGETHER: Duration = Duration::from_millis(5);
/// The least time between two of them: units may come and go by the hundred.
const REST: Duration = Duration::from_millis(50);
/// A host that the policies do not fit is tried again after so long, also if nothing
/// changes.
const AGAIN: Duration = Duration::from_secs(10);
/// What a daemon before put in force stays until it is known who there is: units are
/// found by their sockets, and engines are asked.
const KNOWN: Duration = Duration::from_secs(2);

/// What enforces; clones are the same.
#[derive(Clone)]
pub struct Enforcer(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    rooms: Rooms,
    /// What is told of what is in force; who asks does not wait for who changes it.
    told: ArcSwap<InForce>,
    sources: Sources,
    verdicts: Verdicts,
}

struct Inner {
    tables: RuleTables,
    /// Nothing as long as nobody asked for a set.
    in_force: Option<Parts>,
    /// What comes back by itself, as programs know.
    behind: Option<Behind>,
    /// What a daemon before put in force still is, and nobody asked for something else.
    is_taken_over: bool,
    /// What was checked last, since it is mostly what comes into force next.
    checked: Option<Checked>,
}

/// The set before a change that is not confirmed.
struct Behind {
    set: Parts,
    deadline: Instant,
}

/// A set, for the host as it was, in tables.
struct Checked {
    set: Proposed,
    parts: Parts,
    scene: Scene,
    made: Tables,
}

/// A set of policies, by how far they go.
struct Parts {
    enforced: PolicySet,
    /// Where there is any in audit: those, too.
    with_audit: Option<PolicySet>,
    revisions: HashMap<PolicyId, u64>,
}

impl Parts {
    fn of(set: &Proposed) -> Self {
        let members = set.policies.iter();
        let policies = members.clone().map(|member| (member.mode, &member.policy));
        let (enforced, with_audit) = by_mode(policies, set.enforcement);
        Self {
            enforced,
            with_audit,
            revisions: members
                .map(|member| (member.policy.id.clone(), member.revision))
                .collect(),
        }
    }

    /// Whether it is the other set: a policy that changes has another revision.
    fn is(&self, other: &Self) -> bool {
        self.revisions == other.revisions
            && self.enforced.enforcement() == other.enforced.enforcement()
    }

    fn do_nothing(&self) -> bool {
        self.with_audit.is_none()
            && self.enforced.policies().is_empty()
            && self.enforced.enforcement() != Enforcement::Always
    }
}

impl Behind {
    fn of(unconfirmed: &Unconfirmed) -> Self {
        let now = Instant::now();
        Self {
            set: Parts::of(&unconfirmed.before),
            deadline: now.checked_add(unconfirmed.within).unwrap_or(now),
        }
    }
}

impl Enforcer {
    /// None is in force until `activate`.
    #[must_use]
    pub fn new(tables: RuleTables, sources: Sources, verdicts: Verdicts) -> Self {
        Self(Arc::new(Shared {
            rooms: tables.rooms(),
            told: ArcSwap::default(),
            inner: Mutex::new(Inner {
                is_taken_over: tables.is_taken_over(),
                tables,
                in_force: None,
                behind: None,
                checked: None,
            }),
            sources,
            verdicts,
        }))
    }

    /// Follows the host until `stop` changes.
    pub async fn follow(self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.0.sources.watch();
        if self.lock().is_taken_over {
            tokio::select! {
                () = tokio::time::sleep(KNOWN) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            // A set that comes later is put in force at once.
            self.lock().is_taken_over = false;
            tokio::task::block_in_place(|| self.refresh());
        }
        loop {
            let is_outdated = self.0.told.load().outdated.is_some();
            tokio::select! {
                () = changes.next() => {}
                () = tokio::time::sleep(AGAIN), if is_outdated => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            tokio::time::sleep(TOGETHER).await;
            changes.seen();
            tokio::task::block_in_place(|| self.refresh());
            tokio::time::sleep(REST).await;
        }
    }

    /// Puts the policies in force again, for the host as it is now.
    fn refresh(&self) {
        let mut inner = self.lock();
        if inner.tables.generation() == 0 {
            return;
        }
        let Inner {
            tables,
            in_force,
            behind,
            ..
        } = &mut *inner;
        // What a daemon before put there stays until a set is asked for.
        let Some(in_force) = in_force else {
            return;
        };
        let was_outdated = self.0.told.load().outdated.is_some();
        match self.refreshed(tables, in_force, behind.as_ref()) {
            Ok(()) if was_outdated => {
                tracing::info!("policies are in force for the host as it is");
            }
            Ok(()) => {}
            Err(error) => {
                if !was_outdated {
                    tracing::error!(%error, "policies stay in force for the host as it was before; tried again");
                }
                let told = InForce::clone(&self.0.told.load());
                self.0.told.store(Arc::new(InForce {
                    outdated: Some(error.to_string()),
                    ..told
                }));
            }
        }
    }

    fn refreshed(
        &self,
        tables: &mut RuleTables,
        in_force: &Parts,
        behind: Option<&Behind>,
    ) -> Result<(), EnforceError> {
        let scene = self.scene();
        let made = self.compiled(in_force, &scene)?;
        self.put_in_force(tables, &made, &scene, None)?;
        let Some(behind) = behind else {
            tables.stay();
            return Ok(());
        };
        if let Err(error) = self.put_behind(tables, behind, &scene) {
            tracing::error!(%error, "the set that comes back if the change is not confirmed is for the host as it was before");
        }
        Ok(())
    }

    fn compiled(&self, parts: &Parts, scene: &Scene) -> Result<Tables, EnforceError> {
        let (verdicts, rooms) = (&self.0.verdicts, self.0.rooms);
        verdicts.change(|reasons| compiled(parts, scene, rooms, reasons))
    }

    /// What it takes, when what is in force now stays for a moment. Reasons of flows are
    /// not known meanwhile: their numbers are the other daemon's.
    fn postpone(
        &self,
        inner: &mut Inner,
        parts: Parts,
        behind: Option<Behind>,
    ) -> Result<Cost, EnforceError> {
        let scene = self.scene();
        let mut reasons = compile::Reasons::default();
        let made = compiled(&parts, &scene, self.0.rooms, &mut reasons)?;
        let placement = scene.placement(&made);
        inner.tables.check(&made, &placement).map_err(no_room)?;
        inner.in_force = Some(parts);
        inner.behind = behind;
        Ok(self.tell(told(&made, &reasons)))
    }

    fn put_in_force(
        &self,
        tables: &mut RuleTables,
        made: &Tables,
        scene: &Scene,
        back_after: Option<Duration>,
    ) -> Result<Cost, EnforceError> {
        let placement = scene.placement(made);
        let put = tables.put_in_force(made, &placement, back_after);
        put.map_err(no_room)?;
        let told = self.0.verdicts.change(|reasons| {
            reasons.activated();
            told(made, reasons)
        });
        Ok(self.tell(told))
    }

    /// Before a change that may not be confirmed: after which time what is in force comes
    /// back. Where that is another set, since the change is older than this process or is
    /// tried again, what was before it is put there.
    fn prepare(
        &self,
        inner: &mut Inner,
        behind: Option<&Behind>,
        scene: &Scene,
    ) -> Option<Duration> {
        let behind = behind?;
        let tables = &mut inner.tables;
        let is_there = match &inner.in_force {
            Some(in_force) => in_force.is(&behind.set),
            None => tables.generation() == 0 && behind.set.do_nothing(),
        };
        if is_there {
            return Some(behind.deadline.saturating_duration_since(Instant::now()));
        }
        if let Err(error) = self.put_behind(tables, behind, scene) {
            tracing::error!(%error, "the set before a change that is not confirmed comes back by this process alone");
        }
        None
    }

    /// What is to come back.
    fn put_behind(
        &self,
        tables: &mut RuleTables,
        behind: &Behind,
        scene: &Scene,
    ) -> Result<(), EnforceError> {
        let made = self.compiled(&behind.set, scene)?;
        let placement = scene.placement(&made);
        let within = behind.deadline.saturating_duration_since(Instant::now());
        let put = tables.put_behind(&made, &placement, within);
        put.map_err(no_room)
    }

    fn scene(&self) -> Scene {
        self.0.sources.scene(self.0.rooms)
    }

    /// From now on that is told; what it takes.
    fn tell(&self, told: InForce) -> Cost {
        let cost = told.cost;
        self.0.told.store(Arc::new(told));
        cost
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Enforce for Enforcer {
    fn check(&self, set: &Proposed) -> Result<Cost, EnforceError> {
        let mut inner = self.lock();
        let scene = self.scene();
        let parts = Parts::of(set);
        let made = self.compiled(&parts, &scene)?;
        let placement = scene.placement(&made);
        inner.tables.check(&made, &placement).map_err(no_room)?;
        let cost = cost(&made);
        inner.checked = Some(Checked {
            set: set.clone(),
            parts,
            scene,
            made,
        });
        Ok(cost)
    }

    fn activate(
        &self,
        set: &Proposed,
        unconfirmed: Option<&Unconfirmed>,
    ) -> Result<Cost, EnforceError> {
        let behind = unconfirmed.map(Behind::of);
        let mut inner = self.lock();
        let checked = inner.checked.take().filter(|checked| checked.set == *set);
        let (parts, ready) = match checked {
            Some(checked) => (checked.parts, Some((checked.scene, checked.made))),
            None => (Parts::of(set), None),
        };
        if std::mem::take(&mut inner.is_taken_over) {
            return self.postpone(&mut inner, parts, behind);
        }
        // As long as there never was a policy, packets cost nothing more.
        let was_nothing = |behind: &Behind| behind.set.do_nothing();
        if inner.tables.generation() == 0
            && parts.do_nothing()
            && behind.as_ref().is_none_or(was_nothing)
        {
            inner.in_force = Some(parts);
            return Ok(self.tell(InForce::default()));
        }
        let scene = self.scene();
        let made = match ready.filter(|(of, _)| *of == scene) {
            Some((_, made)) => made,
            None => self.compiled(&parts, &scene)?,
        };
        let waited = inner.tables.comes_back();
        let back_after = self.prepare(&mut inner, behind.as_ref(), &scene);
        let put = self.put_in_force(&mut inner.tables, &made, &scene, back_after);
        // What was said of a change before stays where this one fails: programs still go
        // back by themselves.
        if (put.is_ok() && behind.is_none()) || (put.is_err() && !waited) {
            inner.tables.stay();
        }
        let cost = put?;
        self.0
            .verdicts
            .keep_hits(|policy| parts.revisions.contains_key(policy));
        inner.in_force = Some(parts);
        inner.behind = behind;
        Ok(cost)
    }

    fn in_force(&self) -> Option<InForce> {
        Some(InForce::clone(&self.0.told.load()))
    }

    fn went_back(&self) -> bool {
        self.lock().tables.went_back()
    }

    fn comes_back_after(&self, within: Duration) -> bool {
        self.lock().tables.wait_longer(within)
    }

    fn confirmed(&self) {
        let mut inner = self.lock();
        inner.behind = None;
        inner.tables.stay();
    }

    fn judged(&self) -> Option<Vec<Endpoint>> {
        Some(self.scene().subjects())
    }

    fn hits(&self) -> Vec<Hit> {
        self.0.verdicts.hits()
    }

    fn uncounted_hits(&self) -> u64 {
        self.0.verdicts.uncounted()
    }
}

fn compiled(
    parts: &Parts,
    scene: &Scene,
    rooms: Rooms,
    reasons: &mut compile::Reasons,
) -> Result<Tables, EnforceError> {
    let sets = Sets {
        enforced: &parts.enforced,
        with_audit: parts.with_audit.as_ref().unwrap_or(&parts.enforced),
        revisions: &parts.revisions,
    };
    let limits = Limits {
        ranges4: rooms.ranges4 as usize,
        ranges6: rooms.ranges6 as usize,
        subjects: rooms.subjects as usize,
        places: rooms.entries as usize,
        ..Limits::default()
    };
    compile::compile(&sets, &scene.world(), reasons, &limits).map_err(too_large)
}

fn too_large(error: TooLarge) -> EnforceError {
    EnforceError::TooLarge {
        what: error.what,
        needed: error.needed as u64,
        room: error.room as u64,
        setting: setting(error.what),
    }
}

fn told(made: &Tables, reasons: &compile::Reasons) -> InForce {
    InForce {
        cost: cost(made),
        entries: Arc::new(made.entries_of_policies(reasons)),
        outdated: None,
    }
}

fn cost(made: &Tables) -> Cost {
    let is_judged = |subject: &&Subject| subject.ingress.is_judged() || subject.egress.is_judged();
    Cost {
        entries: (made.taken + made.ranges4.len() + made.ranges6.len()) as u64,
        bytes: made.bytes() as u64,
        selected: made.subjects.iter().filter(is_judged).count() as u64,
    }
}

fn no_room(error: NoRoom) -> EnforceError {
    EnforceError::TooLarge {
        what: error.what,
        needed: error.needed as u64,
        room: u64::from(error.room),
        setting: setting(error.what),
    }
}

/// What makes room, by the names of `compile` and of `RuleTables`.
fn setting(what: &str) -> &'static str {
    match what {
        "subjects" | "endpoints that are judged" | "places of cgroups" => "[policy] max_endpoints",
        "places of entries" | "places of rules" => "[policy] max_rules",
        ranges if ranges.starts_with("ranges") => "[policy] max_ranges",
        _ => "[policy]",
    }
}
