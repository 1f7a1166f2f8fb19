//! Keeps the programs attached to the chosen interfaces as these come and go.
//!
//! TCX (kernel 6.6) where it works: links that vanish with the process. Else a
//! clsact filter, which would outlive a crash: it carries our name, is removed
//! when we start, and the qdisc is removed with it if nobody else uses it.

use std::{
    collections::{BTreeMap, btree_map},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    sync::Arc,
};

use aya::{
    Ebpf,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        tc::{self, NlOptions, SchedClassifierLinkId, TcAttachOptions, TcError},
    },
};
use globset::{Glob, GlobSet, GlobSetBuilder};
use sextant_ebpf_common::interface_parts;

use super::{DatapathError, Layer, Link, Links, Namespace, namespace};

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// TCX link.
    Tcx,
    /// Filter on a clsact qdisc.
    Clsact,
}

impl Hook {
    /// Name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// Which interfaces are observed.
#[derive(Clone, Debug)]
pub struct InterfaceChoice {
    include: Option<GlobSet>,
    exclude: GlobSet,
    /// Included names without a wildcard.
    exact: Vec<String>,
}

impl InterfaceChoice {
    /// Interfaces that match a glob of `include` (all, if there is none) and
    /// no glob of `exclude`.
    ///
    /// # Errors
    ///
    /// When a glob cannot be parsed.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, DatapathError> {
        Ok(Self {
            include: (!include.is_empty()).then(|| globs(include)).transpose()?,
            exclude: globs(exclude)?,
            exact: include
                .iter()
                .filter(|pattern| !pattern.contains(['*', '?', '[', '{']))
                .cloned()
                .collect(),
        })
    }

    /// Whether this interface is observed. Interfaces that are down are left
    /// alone unless they are named.
    #[must_use]
    pub fn takes(&self, link: &Link) -> bool {
        let included = match &self.include {
            Some(include) => include.is_match(&link.name),
            None => link.up,
        };
        included && !self.exclude.is_match(&link.name) && link.layer != Layer::Other
    }

    /// Included names without a wildcard that no interface has.
    ///
    /// # Errors
    ///
    /// The first such name.
    pub fn check(&self, links: &Links) -> Result<(), DatapathError> {
        let missing = self
            .exact
            .iter()
            .find(|name| !links.by_index.values().any(|link| link.name == **name));
        match missing {
            Some(name) => Err(DatapathError::NoInterface { name: name.clone() }),
            None => Ok(()),
        }
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, DatapathError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = Glob::new(pattern).map_err(|source| DatapathError::Pattern {
            pattern: pattern.clone(),
            source,
        })?;
        set.add(glob);
    }
    set.build().map_err(|source| DatapathError::Pattern {
        pattern: patterns.join(" "),
        source,
    })
}

/// The programs on one interface.
#[derive(Debug)]
pub struct Attachment {
    /// Interface name.
    pub name: String,
    /// The network namespace that it is in; `None` is the daemon's own.
    pub namespace: Option<Arc<Namespace>>,
    /// How both directions are attached.
    pub hook: Hook,
    links: Vec<(&'static str, SchedClassifierLinkId)>,
    /// The clsact qdisc is ours.
    owns_qdisc: bool,
}

impl Attachment {
    /// The name, in another network namespace with that before it.
    #[must_use]
    pub fn full_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{}/{}", namespace.name, self.name),
            None => self.name.clone(),
        }
    }

    fn is_of(&self, link: &Link) -> bool {
        link.name == self.name && link.namespace == self.namespace
    }
}

/// All attachments of this process.
#[derive(Debug, Default)]
pub(super) struct Attachments {
    by_index: BTreeMap<u32, Attachment>,
    /// Interfaces that refused, so that they are not tried at each change.
    refused: BTreeMap<u32, String>,
    /// TCX was refused once by the kernel itself: use clsact.
    no_tcx: bool,
    /// Held while clsact is used, by number of the network namespace.
    only_one: BTreeMap<u32, UnixListener>,
    /// Another process holds it.
    pub(super) is_busy: bool,
    /// Interfaces whose clsact qdisc is ours and no longer needed.
    spare_qdiscs: Vec<u32>,
}

/// Names of the programs, ingress and egress, by link layer.
fn programs(layer: Layer) -> [(&'static str, TcAttachType); 2] {
    match layer {
        Layer::Ip => [
            ("sextant_in_ip", TcAttachType::Ingress),
            ("sextant_out_ip", TcAttachType::Egress),
        ],
        Layer::Ethernet | Layer::Other => [
            ("sextant_in", TcAttachType::Ingress),
            ("sextant_out", TcAttachType::Egress),
        ],
    }
}

impl Attachments {
    /// Without TCX, for kernels that lack it and for tests of the fallback.
    pub(super) fn new(force_clsact: bool) -> Self {
        Self {
            no_tcx: force_clsact,
            ..Self::default()
        }
    }

    /// What is attached now, by interface index.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Attachment)> {
        self.by_index
            .iter()
            .map(|(index, attached)| (*index, attached))
    }

    /// Attaches to chosen interfaces that are new; forgets those that are gone.
    pub(super) fn sync(&mut self, ebpf: &mut Ebpf, links: &Links, choice: &InterfaceChoice) {
        let gone: Vec<u32> = self
            .by_index
            .iter()
            .filter(|(index, attached)| {
                links
                    .get(**index)
                    .is_none_or(|link| !attached.is_of(link) || !choice.takes(link))
            })
            .map(|(index, _)| *index)
            .collect();
        for index in gone {
            let still_there = links.get(index).is_some();
            self.detach(ebpf, index, still_there);
        }
        self.refused
            .retain(|index, name| links.get(*index).is_some_and(|link| link.name == *name));
        for link in links.by_index.values().filter(|link| choice.takes(link)) {
            if self.by_index.contains_key(&link.index) || self.refused.contains_key(&link.index) {
                continue;
            }
            let path = link.namespace.as_ref().map(|known| known.path.as_path());
            let attached = namespace::within(path, || self.attach(ebpf, link))
                .unwrap_or_else(|error| Err(TcError::IoError(error).into()));
            match attached {
                Ok(attached) => {
                    tracing::info!(interface = %attached.full_name(), hook = attached.hook.name(), "attached");
                    self.by_index.insert(link.index, attached);
                }
                Err(error) if is_gone(&error) => {
                    tracing::debug!(interface = %link.name, "interface vanished before it was attached");
                }
                Err(error) => {
                    tracing::warn!(interface = %link.name, error = %chain(&error), "not attached; its traffic is not observed");
                    self.refused.insert(link.index, link.name.clone());
                }
            }
        }
    }

    /// Detaches from all interfaces.
    pub(super) fn clear(&mut self, ebpf: &mut Ebpf) {
        let all: Vec<u32> = self.by_index.keys().copied().collect();
        for index in all {
            self.detach(ebpf, index, true);
        }
    }

    /// Takes the qdiscs that are to be removed.
    pub(super) fn take_spare_qdiscs(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.spare_qdiscs)
    }

    fn attach(&mut self, ebpf: &mut Ebpf, link: &Link) -> Result<Attachment, ProgramError> {
        if !self.no_tcx {
            match attach_all(ebpf, link, || TcAttachOptions::TcxOrder(LinkOrder::last())) {
                Ok(links) => {
                    return Ok(Attachment {
                        name: link.name.clone(),
                        namespace: link.namespace.clone(),
                        hook: Hook::Tcx,
                        links,
                        owns_qdisc: false,
                    });
                }
                Err(error) if lacks_tcx(&error) => {
                    tracing::info!("this kernel has no TCX (it came with 6.6); using clsact");
                    self.no_tcx = true;
                }
                Err(error) => return Err(error),
            }
        }
        self.be_the_only_one(interface_parts(link.index).0)?;
        let was_ours = remove_stale(&link.name);
        let owns_qdisc = match tc::qdisc_add_clsact(&link.name) {
            Ok(()) => true,
            Err(error) if exists(&error) => was_ours,
            Err(error) => return Err(error.into()),
        };
        let links = attach_all(
            ebpf,
            link,
            || TcAttachOptions::Netlink(NlOptions::default()),
        )?;
        Ok(Attachment {
            name: link.name.clone(),
            namespace: link.namespace.clone(),
            hook: Hook::Clsact,
            links,
            owns_qdisc,
        })
    }

    /// A filter of ours on clsact is either this process's or left by one that
    /// crashed, so there must be one at a time in a network namespace. Abstract
    /// sockets belong to the namespace and vanish with the process.
    fn be_the_only_one(&mut self, namespace: u32) -> Result<(), ProgramError> {
        if let btree_map::Entry::Vacant(place) = self.only_one.entry(namespace) {
            let held = SocketAddr::from_abstract_name("sextantd-clsact")
                .and_then(|name| UnixListener::bind_addr(&name));
            match held {
                Ok(held) => {
                    place.insert(held);
                }
                Err(error) => {
                    self.is_busy = true;
                    return Err(TcError::IoError(error).into());
                }
            }
        }
        Ok(())
    }

    fn detach(&mut self, ebpf: &mut Ebpf, index: u32, still_there: bool) {
        let Some(attached) = self.by_index.remove(&index) else {
            return;
        };
        let name = attached.full_name();
        // A TCX link is closed from anywhere, also when its namespace is gone.
        let namespace = attached
            .namespace
            .as_ref()
            .filter(|_| attached.hook == Hook::Clsact);
        let path = namespace.map(|known| known.path.as_path());
        let links = attached.links;
        let detached = namespace::within(path, || detach_all(ebpf, links));
        if let Err(error) = detached
            .map_err(TcError::IoError)
            .map_err(ProgramError::from)
            .flatten()
            && still_there
        {
            tracing::warn!(interface = %name, error = %chain(&error), "not detached");
        }
        if attached.owns_qdisc && still_there {
            self.spare_qdiscs.push(index);
        }
        tracing::info!(interface = %name, "detached");
    }
}

fn attach_all(
    ebpf: &mut Ebpf,
    link: &Link,
    options: impl Fn() -> TcAttachOptions,
) -> Result<Vec<(&'static str, SchedClassifierLinkId)>, ProgramError> {
    let mut links = Vec::new();
    for (name, direction) in programs(link.layer) {
        let program = classifier(ebpf, name).ok_or(ProgramError::NotLoaded)?;
        match program.attach_with_options(&link.name, direction, options()) {
            Ok(id) => links.push((name, id)),
            Err(error) => {
                for (name, id) in links {
                    if let Some(program) = classifier(ebpf, name) {
                        let _ = program.detach(id);
                    }
                }
                return Err(error);
            }
        }
    }
    Ok(links)
}

/// All of them, also when one fails; the last failure.
fn detach_all(
    ebpf: &mut Ebpf,
    links: Vec<(&'static str, SchedClassifierLinkId)>,
) -> Result<(), ProgramError> {
    let mut failure = Ok(());
    for (name, id) in links {
        if let Some(program) = classifier(ebpf, name)
            && let Err(error) = program.detach(id)
        {
            failure = Err(error);
        }
    }
    failure
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> Option<&'a mut SchedClassifier> {
    ebpf.program_mut(name)?.try_into().ok()
}

/// Removes filters that an earlier process left behind on clsact; tells
/// whether there were any.
fn remove_stale(interface: &str) -> bool {
    let mut found = false;
    for layer in [Layer::Ethernet, Layer::Ip] {
        for (name, direction) in programs(layer) {
            if tc::qdisc_detach_program(interface, direction, name).is_ok() {
                tracing::info!(
                    interface,
                    program = name,
                    "removed a filter left by an earlier run"
                );
                found = true;
            }
        }
    }
    found
}

/// The system's error number somewhere among the causes.
fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        // These two pass for the error in them, which is then no source.
        if let Some(ProgramError::TcError(TcError::IoError(io))) = error.downcast_ref() {
            return io.raw_os_error();
        }
        if let Some(TcError::IoError(io)) = error.downcast_ref() {
            return io.raw_os_error();
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.raw_os_error();
        }
        cause = error.source();
    }
    None
}

/// The kernel does not know the link type (EINVAL before 6.6).
fn lacks_tcx(error: &ProgramError) -> bool {
    errno(error) == Some(libc::EINVAL)
}

/// The interface, or the path of its network namespace.
fn is_gone(error: &ProgramError) -> bool {
    matches!(
        errno(error),
        Some(libc::ENODEV | libc::ENXIO | libc::ENOENT)
    )
}

fn exists(error: &TcError) -> bool {
    errno(error) == Some(libc::EEXIST)
}

/// Of a longer text (the verifier's log) the beginning and the end are kept.
const MAX_TEXT: usize = 1200;

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= MAX_TEXT {
        return text;
    }
    let head: String = chars[..MAX_TEXT / 4].iter().collect();
    let tail: String = chars[chars.len() - MAX_TEXT * 3 / 4..].iter().collect();
    format!("{head} [...] {tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_vanished_is_told_from_one_that_refuses() {
        let error = |number| {
            ProgramError::from(TcError::IoError(std::io::Error::from_raw_os_error(number)))
        };
        assert!(is_gone(&error(libc::ENODEV)) && is_gone(&error(libc::ENOENT)));
        assert!(!is_gone(&error(libc::EPERM)));
        assert!(exists(&TcError::IoError(
            std::io::Error::from_raw_os_error(libc::EEXIST)
        )));
    }
}
