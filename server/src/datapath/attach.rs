//! Keeps the programs attached to the chosen interfaces as these come and go.
//!
//! Where: before all others, in both directions, since a program ahead can end
//! the list (TCX_PASS, TC_ACT_OK) and what it lets through would be hidden from
//! us. On ingress that is also what is nearest to the wire. On egress it is the
//! other way: what a program behind ours drops, redirects or rewrites, we have
//! seen as this host sent it. That is the lesser evil: a drop behind us is told
//! by the drop tracepoint (TC_EGRESS), but what is hidden ahead of us is lost.
//!
//! How: TCX (kernel 6.6) where it works: links that vanish with the process.
//! Else a clsact filter, which would outlive a crash: it carries our name, is
//! removed when we start, and the qdisc is removed with it if nobody else uses it.
//! Where policies stay in force without us (`pins`), what is on the interfaces of our own
//! namespace stays when we end, and the next one's programs take its place.

use std::{
    collections::{BTreeMap, btree_map},
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    path::PathBuf,
};

use sextant_ebpf_common::interface_parts;

use super::{
    InterfaceChoice, Link, Links,
    grace::Expedited,
    hook::{self, AttachError, DIRECTIONS, Hold, Hook, OnHook},
    namespace,
    netlink::Access,
    pins::Pins,
    program::Programs,
    tcx::Direction,
};

/// The programs on one interface.
#[derive(Debug)]
pub(super) struct Attachment {
    /// The interface.
    pub(super) link: Link,
    /// How both directions are attached.
    pub(super) hook: Hook,
    /// Programs of others that run before ours, `[ingress, egress]`.
    pub(super) ahead: [Vec<String>; 2],
    /// Why a program that was taken off could not be put on again.
    pub(super) failure: Option<String>,
    hold: Hold,
    /// It was once moved before those that had come before it.
    moved: [bool; 2],
}

impl Attachment {
    fn is_of(&self, link: &Link) -> bool {
        link.birth == self.link.birth
            && link.namespace == self.link.namespace
            && link.layer == self.link.layer
    }
}

/// All attachments of this process.
pub(super) struct Attachments {
    programs: Programs,
    access: Access,
    pins: Option<Pins>,
    hook: Hook,
    by_index: BTreeMap<u32, Attachment>,
    /// Interfaces that are chosen but not observed, and why.
    refused: BTreeMap<u32, (Link, AttachError)>,
    /// Held while clsact is used, by number of the network namespace.
    only_one: BTreeMap<u32, UnixListener>,
}

impl Attachments {
    /// By TCX, if it is there and not `force_clsact` (for tests of the fallback).
    pub(super) fn new(
        programs: Programs,
        access: Access,
        pins: Option<Pins>,
        force_clsact: bool,
    ) -> Self {
        let has_tcx = hook::has_tcx(&programs);
        if !has_tcx {
            tracing::info!("this kernel has no TCX (it came with 6.6); using clsact");
        }
        let hook = if has_tcx && !force_clsact {
            Hook::Tcx
        } else {
            Hook::Clsact
        };
        Self {
            programs,
            access,
            pins,
            hook,
            by_index: BTreeMap::new(),
            refused: BTreeMap::new(),
            only_one: BTreeMap::new(),
        }
    }

    /// How programs are attached.
    pub(super) fn hook(&self) -> Hook {
        self.hook
    }

    /// What is attached now, by interface number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Attachment)> {
        let each = self.by_index.iter();
        each.map(|(index, attached)| (*index, attached))
    }

    /// Whether programs are on this very interface.
    pub(super) fn has(&self, link: &Link) -> bool {
        let attached = self.by_index.get(&link.index);
        attached.is_some_and(|attached| attached.is_of(link))
    }

    /// Interfaces that are chosen but not observed, and why.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&Link, &AttachError)> {
        self.refused.values().map(|(link, error)| (link, error))
    }

    /// Attaches to chosen interfaces that are new; lets go those that are gone,
    /// or that are another now.
    pub(super) fn sync(&mut self, links: &Links, choice: &InterfaceChoice) {
        let stays = |index: &u32, attached: &Attachment| {
            let link = links.get(*index);
            link.is_some_and(|link| attached.is_of(link) && choice.takes(link))
        };
        let each = self.by_index.iter();
        let gone: Vec<u32> = each
            .filter(|(index, attached)| !stays(index, attached))
            .map(|(index, _)| *index)
            .collect();
        self.detach(&gone);
        self.refused.retain(|index, (refused, _)| {
            let same = |link: &Link| link.birth == refused.birth && choice.takes(link);
            links.get(*index).is_some_and(same)
        });
        let mut new = Vec::new();
        for link in links.by_index.values().filter(|link| choice.takes(link)) {
            match self.by_index.get_mut(&link.index) {
                // It may have another name now.
                Some(attached) if attached.link != *link => attached.link = link.clone(),
                Some(_) => {}
                None if self.refused.contains_key(&link.index) => {}
                None => new.push(link.clone()),
            }
        }
        self.attach(&new);
    }

    /// Looks whether the programs are where they were put, and before those of
    /// others; tries again what was refused.
    pub(super) fn check(&mut self) {
        let refused: Vec<Link> = self.refused().map(|(link, _)| link.clone()).collect();
        self.attach(&refused);
        let links: Vec<Link> = self
            .iter()
            .map(|(_, attached)| attached.link.clone())
            .collect();
        for group in by_namespace(&links) {
            let checked = namespace::within(path(group).as_deref(), || {
                for link in group {
                    self.check_one(link.index);
                }
            });
            if let Err(error) = checked {
                for link in group {
                    self.judge(link.index, Err(AttachError::not_entered(&error)));
                }
            }
        }
    }

    /// Detaches from all interfaces where nothing has to stay in force.
    pub(super) fn clear(&mut self) {
        let is_kept = |index: u32| self.pins.is_some() && interface_parts(index).0 == 0;
        let all = self.by_index.keys().copied();
        let (kept, gone): (Vec<u32>, Vec<u32>) = all.partition(|index| is_kept(*index));
        self.detach(&gone);
        if self.pins.is_some() {
            let interfaces = kept.len();
            tracing::info!(
                interfaces,
                "the programs stay: policies are in force without this daemon, as `[policy] on_exit` says"
            );
        }
    }

    /// What the daemon before had on interfaces that are not observed any more.
    pub(super) fn remove_unused(&self) -> io::Result<()> {
        self.pins.as_ref().map_or(Ok(()), Pins::remove_unused)
    }

    fn attach(&mut self, links: &[Link]) {
        let _short = self.expedited(links.len());
        for group in by_namespace(links) {
            let done = namespace::within(path(group).as_deref(), || {
                for link in group {
                    let result = self.attach_one(link);
                    self.keep(link, result);
                }
            });
            if let Err(error) = done {
                for link in group {
                    self.keep(link, Err(AttachError::not_entered(&error)));
                }
            }
        }
    }

    fn expedited(&self, interfaces: usize) -> Option<Expedited> {
        (self.hook == Hook::Tcx).then(|| Expedited::for_links(2 * interfaces))?
    }

    /// In the network namespace of the interface.
    fn attach_one(&mut self, link: &Link) -> Result<Attachment, AttachError> {
        if self.hook == Hook::Clsact {
            self.be_the_only_one(interface_parts(link.index).0)?;
        }
        let programs = self.programs.of(link.layer);
        let pins = self.pins.as_ref();
        let (hold, lack) = hook::put(self.hook, &self.access, link.index, programs, pins)?;
        let mut attached = Attachment {
            hold,
            link: link.clone(),
            hook: self.hook,
            ahead: Default::default(),
            failure: None,
            moved: [false; 2],
        };
        attached.judge(lack.map_or(Ok(()), Err));
        Ok(attached)
    }

    fn keep(&mut self, link: &Link, result: Result<Attachment, AttachError>) {
        let interface = link.full_name();
        match result {
            Ok(attached) => {
                tracing::info!(%interface, hook = attached.hook.name(), "attached");
                self.refused.remove(&link.index);
                self.by_index.insert(link.index, attached);
            }
            Err(AttachError::Gone) => {
                tracing::debug!(%interface, "interface vanished before it was attached");
                self.refused.remove(&link.index);
            }
            Err(error) => {
                if !self.refused.contains_key(&link.index) {
                    tracing::warn!(%interface, %error, "not attached; its traffic is not observed");
                }
                self.refused.insert(link.index, (link.clone(), error));
            }
        }
    }

    /// A filter of ours on clsact is either this process's or left by one that
    /// crashed, so there must be one at a time in a network namespace. Abstract
    /// sockets belong to the namespace and vanish with the process.
    fn be_the_only_one(&mut self, namespace: u32) -> Result<(), AttachError> {
        if let btree_map::Entry::Vacant(place) = self.only_one.entry(namespace) {
            let held = SocketAddr::from_abstract_name("sextantd-clsact")
                .and_then(|name| UnixListener::bind_addr(&name));
            place.insert(held.map_err(|_| AttachError::Busy)?);
        }
        Ok(())
    }

    fn detach(&mut self, indexes: &[u32]) {
        let _short = self.expedited(indexes.len());
        for index in indexes {
            let Some(attached) = self.by_index.remove(index) else {
                continue;
            };
            let interface = attached.link.full_name();
            let programs = self.programs.of(attached.link.layer);
            let pins = self.pins.as_ref();
            if let Err(error) = attached.hold.take_off(&self.access, *index, programs, pins) {
                tracing::warn!(%interface, %error, "not detached");
            }
            tracing::info!(%interface, "detached");
        }
    }

    /// In the network namespace of the interface.
    fn check_one(&mut self, index: u32) {
        let Some(attached) = self.by_index.get_mut(&index) else {
            return;
        };
        // Both, also when the first one fails.
        let (access, programs, pins) = (&self.access, &self.programs, self.pins.as_ref());
        let checked = DIRECTIONS.map(|direction| attached.check(direction, access, programs, pins));
        self.judge(index, checked.into_iter().collect());
    }

    /// Takes note of what a check found.
    fn judge(&mut self, index: u32, checked: Result<(), AttachError>) {
        if let Some(attached) = self.by_index.get_mut(&index) {
            attached.judge(checked);
        }
    }
}

impl Attachment {
    /// Told once, until it is something else.
    fn judge(&mut self, checked: Result<(), AttachError>) {
        let failure = match checked {
            // Netlink tells of what is gone.
            Ok(()) | Err(AttachError::Gone) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = failure.as_ref().filter(|_| failure != self.failure) {
            let interface = self.link.full_name();
            tracing::warn!(%interface, %error, "programs are not on the interface in both directions, and not all of its traffic is observed");
        }
        self.failure = failure;
    }

    fn check(
        &mut self,
        direction: Direction,
        access: &Access,
        programs: &Programs,
        pins: Option<&Pins>,
    ) -> Result<(), AttachError> {
        let program = &programs.of(self.link.layer)[direction as usize];
        let interface = self.link.full_name();
        let (mut is_on, mut ahead) = self.ahead_of(program.id, direction, access)?;
        let moved = &mut self.moved[direction as usize];
        let is_hidden = !ahead.is_empty() && !*moved;
        if !is_on || is_hidden {
            if is_on {
                tracing::info!(%interface, ?direction, ?ahead, "moving the program before those of others");
                *moved = true;
            } else if self.failure.is_none() {
                tracing::warn!(%interface, ?direction, "somebody took the program off; attaching it again");
            }
            let index = self.link.index;
            self.hold
                .put_again(access, index, direction, program, pins)?;
            (is_on, ahead) = self.ahead_of(program.id, direction, access)?;
            if !is_on {
                return Err(AttachError::TakenOff);
            }
        }
        let known = &mut self.ahead[direction as usize];
        if !ahead.is_empty() && ahead != *known {
            tracing::warn!(%interface, ?direction, programs = ?ahead, "programs of others run before ours; packets that they end are not observed");
        }
        *known = ahead;
        Ok(())
    }

    /// Whether the program is on the interface, and which of others run before it.
    fn ahead_of(
        &self,
        program: u32,
        direction: Direction,
        access: &Access,
    ) -> Result<(bool, Vec<String>), AttachError> {
        let looked = self.hold.look(access, self.link.index, direction);
        let mut found = looked.map_err(AttachError::not_verified)?;
        let place = found.iter().position(|found| found.id == Some(program));
        let ahead = &mut found[..place.unwrap_or(0)];
        hook::name(ahead);
        let foreign = ahead.iter().filter(|found| found.is_foreign());
        Ok((place.is_some(), foreign.map(OnHook::label).collect()))
    }
}

/// Links of one network namespace after those of another, as they are sorted.
fn by_namespace(links: &[Link]) -> impl Iterator<Item = &[Link]> {
    links.chunk_by(|one, other| interface_parts(one.index).0 == interface_parts(other.index).0)
}

fn path(links: &[Link]) -> Option<PathBuf> {
    let namespace = links.first()?.namespace.as_ref()?;
    Some(namespace.path.clone())
}
