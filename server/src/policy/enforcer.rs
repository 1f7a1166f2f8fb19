//! Puts policies in force in the kernel, and again whenever the host changes: who is
//! behind an interface, which units there are, whose addresses are whose.
//!
//! `world` says who can be judged and where; `sextant_policy::compile` makes the tables.

mod world;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sextant_policy::{
    compile::{self, Limits, Sets, Tables},
    policy::PolicyId,
    set::PolicySet,
};
use tokio::sync::watch;

use super::{
    enforce::{Cost, Enforce, EnforceError, Hit, Mode, Proposed},
    verdicts::Verdicts,
};
use crate::datapath::{NoRoom, Rooms, RuleTables};
use world::Scene;
pub use world::Sources;

/// Changes of the host within so long are one.
const TOGETHER: Duration = Duration::from_millis(5);

/// What enforces; clones are the same.
#[derive(Clone)]
pub struct Enforcer(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    sources: Sources,
    verdicts: Verdicts,
}

struct Inner {
    tables: RuleTables,
    in_force: Parts,
    cost: Cost,
}

/// A set of policies, by how far they go.
struct Parts {
    enforced: PolicySet,
    with_audit: PolicySet,
    revisions: HashMap<PolicyId, u64>,
}

impl Parts {
    fn of(set: &Proposed) -> Self {
        let policies = |modes: &[Mode]| {
            let members = set.policies.iter();
            let members = members.filter(|member| modes.contains(&member.mode));
            let policies = members.map(|member| member.policy.clone());
            PolicySet::new(policies.collect::<Vec<_>>(), set.enforcement)
        };
        let members = set.policies.iter();
        Self {
            enforced: policies(&[Mode::Enforce]),
            with_audit: policies(&[Mode::Enforce, Mode::Audit]),
            revisions: members
                .map(|member| (member.policy.id.clone(), member.revision))
                .collect(),
        }
    }

    fn do_nothing(&self) -> bool {
        self.with_audit.policies().is_empty()
            && self.with_audit.enforcement() != sextant_policy::set::Enforcement::Always
    }
}

impl Enforcer {
    /// None is in force until `activate`.
    #[must_use]
    pub fn new(tables: RuleTables, sources: Sources, verdicts: Verdicts) -> Self {
        Self(Arc::new(Shared {
            inner: Mutex::new(Inner {
                tables,
                in_force: Parts::of(&Proposed::default()),
                cost: Cost::default(),
            }),
            sources,
            verdicts,
        }))
    }

    /// Follows the host until `stop` changes.
    pub async fn follow(self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.0.sources.watch();
        loop {
            tokio::select! {
                () = changes.next() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            tokio::time::sleep(TOGETHER).await;
            changes.seen();
            tokio::task::block_in_place(|| self.refresh());
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
            cost,
        } = &mut *inner;
        match self.put_in_force(tables, in_force) {
            Ok(now) => *cost = now,
            Err(error) => {
                tracing::error!(%error, "policies stay in force for the host as it was before");
            }
        }
    }

    fn put_in_force(&self, tables: &mut RuleTables, parts: &Parts) -> Result<Cost, EnforceError> {
        let scene = self.0.sources.scene();
        self.0.verdicts.change(|reasons| {
            let made = compiled(parts, &scene, reasons, tables.rooms())?;
            let placement = scene.placement(&made);
            tables.put_in_force(&made, &placement).map_err(no_room)?;
            reasons.activated();
            Ok(cost(&made))
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Enforce for Enforcer {
    fn check(&self, set: &Proposed) -> Result<Cost, EnforceError> {
        let scene = self.0.sources.scene();
        let parts = Parts::of(set);
        let inner = self.lock();
        let rooms = inner.tables.rooms();
        let made = self
            .0
            .verdicts
            .change(|reasons| compiled(&parts, &scene, reasons, rooms))?;
        let placement = scene.placement(&made);
        inner.tables.check(&made, &placement).map_err(no_room)?;
        Ok(cost(&made))
    }

    fn activate(&self, set: &Proposed) -> Result<Cost, EnforceError> {
        let parts = Parts::of(set);
        let mut inner = self.lock();
        // As long as there never was a policy, packets cost nothing more.
        if inner.tables.generation() == 0 && parts.do_nothing() {
            inner.in_force = parts;
            return Ok(Cost::default());
        }
        let cost = self.put_in_force(&mut inner.tables, &parts)?;
        inner.in_force = parts;
        inner.cost = cost;
        Ok(cost)
    }

    fn hits(&self) -> Vec<Hit> {
        Vec::new()
    }
}

fn compiled(
    parts: &Parts,
    scene: &Scene,
    reasons: &mut compile::Reasons,
    rooms: Rooms,
) -> Result<Tables, EnforceError> {
    let sets = Sets {
        enforced: &parts.enforced,
        with_audit: &parts.with_audit,
        revisions: &parts.revisions,
    };
    let too_large = |error: compile::TooLarge| EnforceError::TooLarge {
        what: error.what,
        needed: error.needed as u64,
        room: error.room as u64,
        setting: "[policy]",
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

fn cost(made: &Tables) -> Cost {
    let is_judged = |subject: &&sextant_ebpf_common::policy::Subject| {
        **subject != sextant_ebpf_common::policy::Subject::default()
    };
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
        setting: match error.what {
            "endpoints that are judged" | "places of cgroups" => "[policy] max_endpoints",
            "places of rules" => "[policy] max_rules",
            _ => "[policy] max_ranges",
        },
    }
}
