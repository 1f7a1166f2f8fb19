//! The verdict on a connection, and why it is so.

use crate::policy::{PolicyId, Rule};

/// What becomes of a connection, in one direction of one of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It is let through.
    Allow,
    /// It is, once both ends have shown who they are.
    AllowAuthenticated,
    /// It is not.
    Deny,
}

/// A verdict with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement<'a> {
    /// What becomes of the connection.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason<'a>,
}

/// Why a verdict is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason<'a> {
    /// This end is outside, or another node, where these policies are not in force.
    Elsewhere,
    /// No policy judges it: see `exempt`.
    Exempt,
    /// No policy is about this end in this direction.
    NotSelected,
    /// These rules say so.
    Rules(Vec<Source<'a>>),
    /// No rule allows it, and these policies deny by default.
    DefaultDeny(Vec<&'a PolicyId>),
    /// No rule denies it, and no policy denies by default.
    DefaultAllow,
}

/// Where a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// Its policy.
    pub policy: &'a PolicyId,
    /// The rule.
    pub rule: &'a Rule,
}
