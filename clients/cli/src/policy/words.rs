//! Names of policies, and what the messages of the service say in words.

use clap::{Args, ValueEnum};
use sextant_proto::sextant::policy::v1 as api;

use crate::text::harmless;

/// Which policies, by name.
#[derive(Debug, Args)]
pub(super) struct NamesArgs {
    /// Names: `NAME` or `NAMESPACE/NAME`.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    scope: ScopeArgs,
}

/// Where names are looked for.
#[derive(Debug, Default, Args)]
pub(super) struct ScopeArgs {
    /// Namespace: of names that have none [default: default]; of a list, the only one.
    #[arg(
        short,
        long,
        value_name = "NAMESPACE",
        default_value = "",
        hide_default_value = true
    )]
    namespace: String,
    /// Kind, where several have the name.
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<Kind>,
}

/// Kinds of policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// CiliumNetworkPolicy.
    #[value(alias = "ciliumnetworkpolicy")]
    Cnp,
    /// CiliumClusterwideNetworkPolicy.
    #[value(alias = "ciliumclusterwidenetworkpolicy")]
    Ccnp,
    /// NetworkPolicy of Kubernetes.
    #[value(alias = "networkpolicy", alias = "netpol")]
    Np,
}

/// How far policies go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// What they deny is dropped.
    Enforce,
    /// What they deny is let through, and told.
    Audit,
    /// They are kept and do nothing.
    Disabled,
}

impl NamesArgs {
    pub(super) fn references(&self) -> Vec<api::PolicyReference> {
        let names = self.names.iter();
        names.map(|name| self.scope.reference(name)).collect()
    }
}

impl ScopeArgs {
    pub(super) fn reference(&self, name: &str) -> api::PolicyReference {
        let (namespace, name) = match name.split_once('/') {
            Some((namespace, name)) => (namespace, name),
            None => (self.namespace.as_str(), name),
        };
        api::PolicyReference {
            kind: self.kind().into(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    pub(super) fn kind(&self) -> api::PolicyKind {
        self.kind.map_or(api::PolicyKind::Unspecified, Kind::value)
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }
}

impl Kind {
    fn value(self) -> api::PolicyKind {
        match self {
            Self::Cnp => api::PolicyKind::CiliumNetworkPolicy,
            Self::Ccnp => api::PolicyKind::CiliumClusterwideNetworkPolicy,
            Self::Np => api::PolicyKind::NetworkPolicy,
        }
    }
}

impl Mode {
    pub(super) fn value(self) -> api::PolicyMode {
        match self {
            Self::Enforce => api::PolicyMode::Enforce,
            Self::Audit => api::PolicyMode::Audit,
            Self::Disabled => api::PolicyMode::Disabled,
        }
    }
}

/// A kind, as documents have it.
pub(super) fn kind(number: i32) -> &'static str {
    match api::PolicyKind::try_from(number) {
        Ok(api::PolicyKind::CiliumNetworkPolicy) => "CiliumNetworkPolicy",
        Ok(api::PolicyKind::CiliumClusterwideNetworkPolicy) => "CiliumClusterwideNetworkPolicy",
        Ok(api::PolicyKind::NetworkPolicy) => "NetworkPolicy",
        _ => "policy",
    }
}

/// A policy: `CiliumNetworkPolicy shop/web`.
pub(super) fn name(policy: Option<&api::PolicyReference>) -> String {
    let Some(policy) = policy else {
        return String::new();
    };
    let (kind, name) = (kind(policy.kind), harmless(&policy.name));
    match policy.namespace.as_str() {
        "" => format!("{kind} {name}"),
        namespace => format!("{kind} {}/{name}", harmless(namespace)),
    }
}

/// What names a policy.
pub(super) fn reference(policy: &api::Policy) -> api::PolicyReference {
    api::PolicyReference {
        kind: policy.kind,
        namespace: policy.namespace.clone(),
        name: policy.name.clone(),
    }
}

/// A value of an enumeration without what all of its names begin with.
pub(super) fn short<E: TryFrom<i32>>(
    number: i32,
    prefix: &str,
    name: fn(&E) -> &'static str,
) -> String {
    E::try_from(number).map_or_else(
        |_| number.to_string(),
        |value| name(&value).trim_start_matches(prefix).to_lowercase(),
    )
}

pub(super) fn mode(number: i32) -> String {
    short(number, "POLICY_MODE_", api::PolicyMode::as_str_name)
}

pub(super) fn state(number: i32) -> String {
    short(number, "POLICY_STATE_", api::PolicyState::as_str_name)
}

pub(super) fn action(number: i32) -> String {
    short(number, "POLICY_ACTION_", api::PolicyAction::as_str_name)
}

pub(super) fn verdict(number: i32) -> &'static str {
    match api::PolicyVerdict::try_from(number) {
        Ok(api::PolicyVerdict::Allow) => "allowed",
        Ok(api::PolicyVerdict::Audit) => "allowed, and denied once what is in audit is enforced",
        Ok(api::PolicyVerdict::Authenticate) => "allowed once authenticated",
        Ok(api::PolicyVerdict::Deny) => "denied",
        _ => "unknown",
    }
}

/// Who made a change and how, in few words.
pub(super) fn change(revision: &api::Revision) -> String {
    let to = revision.rolled_back_to;
    match api::ChangeKind::try_from(revision.kind) {
        Ok(api::ChangeKind::Apply) => "apply".into(),
        Ok(api::ChangeKind::Delete) => "delete".into(),
        Ok(api::ChangeKind::SetMode) => "mode".into(),
        Ok(api::ChangeKind::Rollback) => format!("rollback to {to}"),
        Ok(api::ChangeKind::NotConfirmed) => format!("not confirmed: back to {to}"),
        _ => revision.kind.to_string(),
    }
}
