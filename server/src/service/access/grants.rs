//! What is granted to whom.

use globset::{GlobBuilder, GlobMatcher};

use super::{GroupError, WriteGroup};
use crate::{
    config::{self, Role, Roles, Who},
    listener::{Caller, Origin, Security},
};

/// All grants.
#[derive(Debug)]
pub(super) struct Grants {
    all: Vec<(Roles, Vec<Pattern>)>,
    /// What everybody is.
    anyone: Roles,
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
            let roles = Roles::from_iter(grant.role);
            all.push((roles, patterns.collect::<Result<_, _>>()?));
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

    pub(super) fn roles(&self, caller: &Caller, token: Option<&str>) -> Roles {
        let granted = self.all.iter().filter(|(_, patterns)| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| pattern.matches(caller, token))
        });
        granted.fold(self.anyone, |sum, (roles, _)| sum.with(*roles))
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
