//! A policy as it is kept, and a change as it is remembered, with their forms on disk.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value;
use sextant_policy::{
    document::{self, Problems},
    policy::{Kind, Policy, PolicyId},
};

use super::enforce::Mode;
use crate::flow::Time;

/// Policies by kind, namespace and name.
pub type Entries = BTreeMap<PolicyId, Arc<Entry>>;

/// All kinds.
pub const KINDS: [Kind; 3] = [Kind::Cilium, Kind::CiliumClusterwide, Kind::Kubernetes];

/// A policy of the set.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The policy.
    pub policy: Arc<Policy>,
    /// The document that made it.
    pub document: Value,
    /// How far it goes.
    pub mode: Mode,
    /// Number of the change that last changed it.
    pub revision: u64,
    /// When it came.
    pub created: Time,
    /// When it was last changed.
    pub updated: Time,
    /// Bytes of the document.
    pub bytes: usize,
}

/// What a change did with a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Created,
    /// Its document or mode is another one.
    Updated,
    /// It is gone.
    Deleted,
}

/// What made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// Policies were given.
    Apply,
    /// Policies were deleted.
    Delete,
    /// Modes were set.
    SetMode,
    /// The set became what it had been.
    Rollback {
        /// At this revision.
        to: u64,
    },
    /// The change before was not confirmed.
    NotConfirmed {
        /// Its revision.
        change: u64,
    },
}

/// What became of one policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Which policy.
    pub id: PolicyId,
    /// What was done.
    pub action: Action,
    /// What it was before.
    pub before: Option<Arc<Entry>>,
    /// What it is now, if that is known.
    pub after: Option<Arc<Entry>>,
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Its number.
    pub number: u64,
    /// When.
    pub time: Time,
    /// Who made it, as in the audit log.
    pub who: String,
    /// What made it.
    pub kind: ChangeKind,
    /// What it did.
    pub steps: Vec<Step>,
    /// Until when it had to be confirmed, if it had to.
    pub confirm_by: Option<Time>,
}

/// Bytes that are not as they were written.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// No such JSON.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A document that is no longer a policy.
    #[error("{0}")]
    Document(#[from] Problems),
    /// A kind that there is not.
    #[error("`{0}` is no kind of policy")]
    Kind(String),
}

/// For those who read it.
impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply => f.write_str("apply"),
            Self::Delete => f.write_str("delete"),
            Self::SetMode => f.write_str("mode"),
            Self::Rollback { to } => write!(f, "rollback to {to}"),
            Self::NotConfirmed { change } => write!(f, "{change} was not confirmed"),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct EntryOnDisk {
    document: Value,
    mode: ModeOnDisk,
    revision: u64,
    created_ns: i64,
    updated_ns: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ModeOnDisk {
    Enforce,
    Audit,
    Disabled,
}

/// `E` is what a policy was before.
#[derive(Serialize, Deserialize)]
struct RevisionOnDisk<E> {
    time_ns: i64,
    who: String,
    kind: ChangeKind,
    steps: Vec<StepOnDisk<E>>,
    confirm_by_ns: Option<i64>,
}

/// What the policy became is in a later step or in the set.
#[derive(Serialize, Deserialize)]
struct StepOnDisk<E> {
    kind: String,
    namespace: String,
    name: String,
    action: Action,
    before: Option<E>,
}

impl Entry {
    /// The bytes that `from_bytes` takes.
    ///
    /// # Errors
    ///
    /// JSON has no form for it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryError> {
        Ok(serde_json::to_vec(&EntryOnDisk::from(self))?)
    }

    /// From the bytes of `to_bytes`.
    ///
    /// # Errors
    ///
    /// They are others.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EntryError> {
        serde_json::from_slice::<EntryOnDisk>(bytes)?.try_into()
    }

    /// Rules that it has.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.policy.specs.iter().map(|spec| spec.rules.len()).sum()
    }
}

impl Revision {
    /// The bytes that `from_bytes` takes.
    ///
    /// # Errors
    ///
    /// JSON has no form for it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryError> {
        let steps = self.steps.iter().map(|step| StepOnDisk {
            kind: step.id.kind.to_string(),
            namespace: step.id.namespace.clone(),
            name: step.id.name.clone(),
            action: step.action,
            before: step.before.as_deref().map(EntryOnDisk::from),
        });
        Ok(serde_json::to_vec(&RevisionOnDisk {
            time_ns: self.time.as_nanos(),
            who: self.who.clone(),
            kind: self.kind,
            steps: steps.collect(),
            confirm_by_ns: self.confirm_by.map(Time::as_nanos),
        })?)
    }

    /// From the bytes of `to_bytes`; what policies became is not in them.
    ///
    /// # Errors
    ///
    /// They are others.
    pub fn from_bytes(number: u64, bytes: &[u8]) -> Result<Self, EntryError> {
        Self::read(number, bytes, |before: EntryOnDisk| {
            Ok(Some(Arc::new(before.try_into()?)))
        })
    }

    /// The same without what policies were before, which is nearly all of the bytes.
    ///
    /// # Errors
    ///
    /// They are others.
    pub fn told_from_bytes(number: u64, bytes: &[u8]) -> Result<Self, EntryError> {
        Self::read(number, bytes, |_: IgnoredAny| Ok(None))
    }

    fn read<'a, E: Deserialize<'a>>(
        number: u64,
        bytes: &'a [u8],
        entry: impl Fn(E) -> Result<Option<Arc<Entry>>, EntryError>,
    ) -> Result<Self, EntryError> {
        let on_disk: RevisionOnDisk<E> = serde_json::from_slice(bytes)?;
        let mut steps = Vec::new();
        for step in on_disk.steps {
            let kind = KINDS.into_iter().find(|kind| kind.to_string() == step.kind);
            steps.push(Step {
                id: PolicyId {
                    kind: kind.ok_or(EntryError::Kind(step.kind))?,
                    namespace: step.namespace,
                    name: step.name,
                },
                action: step.action,
                before: match step.before {
                    Some(before) => entry(before)?,
                    None => None,
                },
                after: None,
            });
        }
        Ok(Self {
            number,
            time: Time::from_nanos(on_disk.time_ns),
            who: on_disk.who,
            kind: on_disk.kind,
            steps,
            confirm_by: on_disk.confirm_by_ns.map(Time::from_nanos),
        })
    }
}

impl From<&Entry> for EntryOnDisk {
    fn from(entry: &Entry) -> Self {
        Self {
            document: entry.document.clone(),
            mode: match entry.mode {
                Mode::Enforce => ModeOnDisk::Enforce,
                Mode::Audit => ModeOnDisk::Audit,
                Mode::Disabled => ModeOnDisk::Disabled,
            },
            revision: entry.revision,
            created_ns: entry.created.as_nanos(),
            updated_ns: entry.updated.as_nanos(),
        }
    }
}

impl TryFrom<EntryOnDisk> for Entry {
    type Error = EntryError;

    fn try_from(on_disk: EntryOnDisk) -> Result<Self, EntryError> {
        Ok(Self {
            policy: document::policy_of(&on_disk.document)?.into(),
            bytes: on_disk.document.to_string().len(),
            document: on_disk.document,
            mode: match on_disk.mode {
                ModeOnDisk::Enforce => Mode::Enforce,
                ModeOnDisk::Audit => Mode::Audit,
                ModeOnDisk::Disabled => Mode::Disabled,
            },
            revision: on_disk.revision,
            created: Time::from_nanos(on_disk.created_ns),
            updated: Time::from_nanos(on_disk.updated_ns),
        })
    }
}
