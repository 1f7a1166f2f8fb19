//! What rules that are about the same connections come to together: the same as
//! the judge finds, without looking at each rule again.

use std::hash::{Hash, Hasher};

use super::{reasons::TOLD, rules::Placed};
use crate::policy::Effect;

/// How closely a rule is about connections: bits of the port and one for the
/// protocol, then whether its peer is told.
pub(super) type Specific = (u32, bool);

/// Rules of one effect, the closest first, as many as a reason tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Few {
    rules: [u32; TOLD],
    len: u8,
    /// How close the first one is.
    pub(super) specific: Specific,
}

impl Few {
    pub(super) const NONE: Self = Self {
        rules: [0; TOLD],
        len: 0,
        specific: (0, false),
    };

    pub(super) fn rules(&self) -> &[u32] {
        &self.rules[..usize::from(self.len)]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn add(&mut self, rule: u32, specific: Specific) {
        if self.is_empty() {
            self.specific = specific;
        }
        if usize::from(self.len) < TOLD && !self.rules().contains(&rule) {
            self.rules[usize::from(self.len)] = rule;
            self.len += 1;
        }
    }

    fn add_all(&mut self, other: &Self) {
        for rule in other.rules() {
            self.add(*rule, other.specific);
        }
    }
}

impl Hash for Few {
    /// The first rule and how many there are tell most of them apart.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.rules[0]) << 32 | u64::from(self.specific.0));
        state.write_u64(u64::from(self.rules[1]) << 32 | u64::from(self.len));
    }
}

impl Default for Few {
    fn default() -> Self {
        Self::NONE
    }
}

/// Rules of one set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Side {
    pub(super) denying: Few,
    pub(super) allowing: Few,
    /// What the closest rule says that says something of authentication.
    authentication: Option<(Specific, bool)>,
}

impl Side {
    /// Whether both ends must have shown who they are.
    pub(super) fn needs_authentication(&self) -> bool {
        self.authentication.is_some_and(|(_, required)| required)
    }
}

/// Rules of both sets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally(pub(super) [Side; 2]);

impl Tally {
    pub(super) fn add(&mut self, number: u32, placed: &Placed<'_>, specific: Specific) {
        for (side, is_in) in self.0.iter_mut().zip(placed.sets) {
            match placed.rule.effect {
                _ if !is_in => {}
                Effect::Deny => side.denying.add(number, specific),
                Effect::Allow => {
                    side.allowing.add(number, specific);
                    let said = placed.rule.authentication;
                    side.authentication =
                        side.authentication.max(said.map(|said| (specific, said)));
                }
            }
        }
    }

    /// Adds rules that are about more connections than those.
    pub(super) fn add_all(&mut self, wider: &Self) {
        for (side, wider) in self.0.iter_mut().zip(&wider.0) {
            side.denying.add_all(&wider.denying);
            side.allowing.add_all(&wider.allowing);
            side.authentication = side.authentication.max(wider.authentication);
        }
    }

    /// Whether a set denies something.
    pub(super) fn denies(&self) -> bool {
        self.0.iter().any(|side| !side.denying.is_empty())
    }

    /// Whether both sets allow it without more, unless something denies it.
    pub(super) fn allows(&self) -> bool {
        let allows = |side: &Side| !side.allowing.is_empty() && !side.needs_authentication();
        self.0.iter().all(allows)
    }

    /// Whether a rule says something of authentication.
    pub(super) fn says_authentication(&self) -> bool {
        self.0.iter().any(|side| side.authentication.is_some())
    }
}
