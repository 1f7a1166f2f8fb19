//! Whether and how the API server of a Kubernetes cluster is asked.

use std::{fmt, path::PathBuf};

use super::{
    draft::set,
    section::Section,
    values::{self, Parsed},
};

/// The API server of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// Whether it is asked.
    pub enabled: bool,
    /// How it is reached; `None` is as a pod is told.
    pub kubeconfig: Option<PathBuf>,
    /// Whether relays hear of its nodes, as other servers.
    pub peers: bool,
    /// What it is asked for.
    pub kinds: Vec<KubernetesKind>,
}

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KubernetesKind {
    /// Endpoints by address.
    Pods,
    /// What is called by addresses and ports.
    Services,
    /// Addresses of nodes.
    Nodes,
    /// Labels that pods have by their namespace.
    Namespaces,
}

impl KubernetesKind {
    /// All, each at its number.
    pub const ALL: [Self; 4] = [Self::Pods, Self::Services, Self::Nodes, Self::Namespaces];

    /// As the API has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Services => "services",
            Self::Nodes => "nodes",
            Self::Namespaces => "namespaces",
        }
    }
}

impl fmt::Display for KubernetesKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self {
            enabled: false,
            kubeconfig: None,
            peers: false,
            kinds: KubernetesKind::ALL.into(),
        }
    }
}

/// `[kubernetes]`.
pub(super) fn kubernetes(mut section: Section<'_>, to: &mut Kubernetes) {
    set(&mut to.enabled, section.item("enabled").switch());
    to.kubeconfig = section.item("kubeconfig").text(values::path);
    set(&mut to.peers, section.item("peers").switch());
    let kinds = section.item("kinds");
    if kinds.offset().is_some() && kinds.is_empty() {
        section.wrong("has no kind; leave `kinds` out for all, or write `enabled = false`".into());
    }
    if let Some(mut kinds) = kinds.texts(kind) {
        kinds.sort_unstable();
        kinds.dedup();
        to.kinds = kinds;
    }
    if to.peers && !to.kinds.contains(&KubernetesKind::Nodes) {
        section.wrong("has `peers`, but no `nodes` among its `kinds`; add them".into());
    }
    section.finish();
}

fn kind(text: &str) -> Parsed<KubernetesKind> {
    values::choice(text, &KubernetesKind::ALL.map(|kind| (kind.name(), kind)))
}
