//! Who may do what: roles by name, grants of them, tokens. Plain data.

use std::path::PathBuf;

use crate::flow::redaction::Sensitive;

/// Who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Roles that are granted.
    pub grants: Vec<Grant>,
    /// Names for bearer tokens.
    pub tokens: Vec<Token>,
}

/// A role, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which; there always is one once the configuration is right.
    pub role: Option<Role>,
    /// To whom.
    pub to: Vec<Who>,
    /// Of a viewer.
    pub sees: Sees,
}

/// What a viewer sees; everything unless something is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sees {
    /// Flows from or to an endpoint in one of these.
    pub namespaces: Vec<String>,
    /// Flows from or to an endpoint with labels that one of these selects; both
    /// lists are about the same endpoint.
    pub labels: Vec<String>,
    /// What is hidden.
    pub redact: Vec<Sensitive>,
}

/// Somebody; patterns are globs, in which `*` is also for `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user of the unix socket.
    User(u32),
    /// Members of a group, by name or number, by the unix socket.
    Group(String),
    /// A client certificate's common name.
    CommonName(String),
    /// One of its DNS names.
    DnsName(String),
    /// One of its URIs, such as a SPIFFE id.
    Uri(String),
    /// Its whole subject.
    Subject(String),
    /// Who shows this token.
    Token(String),
    /// TCP from this host.
    Loopback,
    /// Whoever is connected.
    Anyone,
}

/// A bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is called in grants and in the audit log.
    pub name: String,
    /// The file that it is in.
    pub file: PathBuf,
}

/// A role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads flows, events, status.
    Viewer,
    /// Hands in flows.
    Recorder,
    /// Changes policies.
    PolicyAdmin,
    /// Reads the audit log, and whatever else runs the daemon.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Viewer,
        Self::Recorder,
        Self::PolicyAdmin,
        Self::Operator,
    ];

    /// As the configuration has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Recorder => "recorder",
            Self::PolicyAdmin => "policy-admin",
            Self::Operator => "operator",
        }
    }
}

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// All of them.
    pub const ALL: Self = Self(0b1111);

    /// Whether the role is one of them.
    #[must_use]
    pub fn has(self, role: Role) -> bool {
        self.0 & 1 << role as u8 != 0
    }

    /// Those that are in both.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in either.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().fold(0, |set, role| set | 1 << role as u8))
    }
}
