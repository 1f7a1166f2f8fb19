//! What is granted to whom.

use crate::selection::{Part, View};
use globset::{GlobBuilder, GlobMatcher};
use sextant_proto::flow::FlowFilter;

use super::{GroupError, WriteGroup};
use crate::{
    config::{self, Role, Roles, Sees, Who},
    listener::{Caller, Origin, Security},
};

/// All grants.
#[derive(Debug)]
pub(super) struct Grants {
    all: Vec<Grant>,
    /// What everybody is.
    anyone: Roles,
}

#[derive(Debug)]
struct Grant {
    roles: Roles,
    to: Vec<Pattern>,
    /// What it lets a viewer see.
    part: Part,
}

/// What somebody may do, and what of flows they see.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) roles: Roles,
    pub(super) view: View,
}

impl Granted {
    pub(super) const ALL: Self = Self {
        roles: Roles::ALL,
        view: View::WHOLE,
    };
}

#[derive(Debug)]
enum Pattern {
    User(u32),
    Group(u32),
    CommonName(Option<GlobMatcher>),
    DnsName(Option<GlobMatcher>),
    Uri(Option<GlobMatcher>),
    Subject(Option<GlobMatcher>),
    Token(String),
    Loopback,
    Anyone,
}

impl Grants {
    /// Whoever connects is a viewer, unless viewers are named.
    pub(super) fn new(grants: &[config::Grant]) -> Result<Self, GroupError> {
        let mut all = Vec::new();
        for grant in grants {
            let patterns = grant.to.iter().map(Pattern::new);
            all.push(Grant {
                roles: Roles::from_iter(grant.role),
                to: patterns.collect::<Result<_, _>>()?,
                part: part(&grant.sees),
            });
        }
        let names_viewers = grants.iter().any(|grant| grant.role == Some(Role::Viewer));
        Ok(Self {
            all,
            anyone: match names_viewers {
                true => Roles::default(),
                false => Roles::from_iter([Role::Viewer]),
            },
        })
    }

    /// All roles that somebody is granted, and what any of their grants shows.
    pub(super) fn of(&self, caller: &Caller, token: Option<&str>) -> Granted {
        let mut roles = self.anyone;
        let mut parts = Vec::new();
        for grant in &self.all {
            let mut patterns = grant.to.iter();
            if patterns.any(|pattern| pattern.matches(caller, token)) {
                roles = roles.with(grant.roles);
                if grant.roles.has(Role::Viewer) {
                    parts.push(grant.part.clone());
                }
            }
        }
        let view = match self.anyone.has(Role::Viewer) {
            true => View::WHOLE,
            false => View::of(parts),
        };
        Granted { roles, view }
    }
}

/// An endpoint in one of the namespaces and with labels of one of the selectors,
/// on either side.
fn part(sees: &Sees) -> Part {
    let pods: Vec<_> = sees
        .namespaces
        .iter()
        .map(|name| format!("{name}/"))
        .collect();
    let labels = sees.labels.clone();
    let filters = match pods.is_empty() && labels.is_empty() {
        true => Vec::new(),
        false => vec![
            FlowFilter {
                source_pod: pods.clone(),
                source_label: labels.clone(),
                ..FlowFilter::default()
            },
            FlowFilter {
                destination_pod: pods,
                destination_label: labels,
                ..FlowFilter::default()
            },
        ],
    };
    Part {
        filters,
        redaction: sees.redact.iter().copied().collect(),
    }
}

impl Pattern {
    fn new(who: &Who) -> Result<Self, GroupError> {
        Ok(match who {
            Who::User(uid) => Self::User(*uid),
            Who::Group(name) => Self::Group(WriteGroup::find(name)?.gid),
            Who::CommonName(pattern) => Self::CommonName(glob(pattern)),
            Who::DnsName(pattern) => Self::DnsName(glob(&pattern.to_ascii_lowercase())),
            Who::Uri(pattern) => Self::Uri(glob(pattern)),
            Who::Subject(pattern) => Self::Subject(glob(pattern)),
            Who::Token(name) => Self::Token(name.clone()),
            Who::Loopback => Self::Loopback,
            Who::Anyone => Self::Anyone,
        })
    }

    fn matches(&self, caller: &Caller, token: Option<&str>) -> bool {
        let certificate = match caller.security() {
            Security::Tls(certificate) => certificate.as_ref(),
            Security::Plaintext => None,
        };
        let process = match caller.origin() {
            Origin::Unix(process) => Some(process),
            Origin::Tcp(_) | Origin::Unknown => None,
        };
        match self {
            Self::User(uid) => process.is_some_and(|process| process.uid == *uid),
            Self::Group(gid) => process.is_some_and(|process| process.groups.contains(gid)),
            Self::CommonName(glob) => certificate
                .is_some_and(|names| names.common_names.iter().any(|name| is_match(glob, name))),
            Self::DnsName(glob) => certificate.is_some_and(|names| {
                let mut names = names.dns_names.iter();
                names.any(|name| is_match(glob, &name.to_ascii_lowercase()))
            }),
            Self::Uri(glob) => {
                certificate.is_some_and(|names| names.uris.iter().any(|uri| is_match(glob, uri)))
            }
            Self::Subject(glob) => certificate.is_some_and(|names| is_match(glob, &names.subject)),
            Self::Token(name) => token == Some(name),
            Self::Loopback => matches!(caller.origin(), Origin::Tcp(address)
                if address.ip().to_canonical().is_loopback()),
            Self::Anyone => true,
        }
    }
}

/// A pattern that the configuration has checked; one that is none matches nothing.
fn glob(pattern: &str) -> Option<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(false).build();
    glob.ok().map(|glob| glob.compile_matcher())
}

fn is_match(glob: &Option<GlobMatcher>, name: &str) -> bool {
    glob.as_ref().is_some_and(|glob| glob.is_match(name))
}
