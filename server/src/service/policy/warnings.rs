//! Why a policy does less than one may think who has just changed it.
//!
//! Bound: `MOST` policies of an answer are looked at.

use std::collections::BTreeSet;

use sextant_policy::{
    endpoint::Endpoint,
    policy::Policy,
    ports::{Layer4, Which, name_of},
};
use sextant_proto::sextant::policy::v1 as api;

use crate::policy::{
    ends::Known,
    enforce::Mode,
    entry::{Entry, Revision, Step},
};

/// Policies of an answer that are looked at.
const MOST: usize = 100;

/// Adds what there is to say of the policies that changed: by those who are judged here,
/// and all who are known.
pub(super) fn add(
    changes: &mut [api::PolicyChange],
    revision: &Revision,
    judged: &Known,
    known: &Known,
) {
    let mut changed = revision.steps.iter().take(MOST).collect::<Vec<_>>();
    changed.sort_unstable_by_key(|step| &step.id);
    for step in changed {
        let reference = super::answer::reference(&step.id);
        let place = changes
            .iter_mut()
            .find(|change| change.policy.as_ref() == Some(&reference));
        if let (Some(change), Some(after)) = (place, &step.after) {
            change.warnings = of(step, after, judged, known);
        }
    }
}

fn of(step: &Step, after: &Entry, judged: &Known, known: &Known) -> Vec<String> {
    let mut warnings = Vec::new();
    let was = step.before.as_ref().map(|before| before.mode);
    if was == Some(Mode::Enforce) && after.mode != Mode::Enforce {
        warnings.push("it was enforced, and denies nothing any more".to_owned());
    }
    if after.mode == Mode::Disabled {
        return warnings;
    }
    if judged.selected(&after.policy) == 0 {
        warnings.push(
            "it selects nobody who is judged here now: this host, its units and containers, and who is behind an interface that is observed"
                .to_owned(),
        );
    }
    let all = || judged.iter().chain(known.iter());
    for (name, protocol) in named_ports(&after.policy) {
        let has = |endpoint: &Endpoint| endpoint.port(name, protocol).is_some();
        if !all().any(has) {
            warnings.push(format!(
                "nobody who is known has a port `{name}` of {}, so what it says of that is about nothing; name it in `ports` of an [[endpoint]], or write its number",
                name_of(protocol)
            ));
        }
    }
    warnings
}

/// Names of ports in its rules, with their protocols.
fn named_ports(policy: &Policy) -> BTreeSet<(&str, u8)> {
    let rules = policy.specs.iter().flat_map(|spec| &spec.rules);
    let ports = rules.flat_map(|rule| match &rule.layer4 {
        Layer4::Ports(ports) => ports.as_slice(),
        Layer4::All => &[],
    });
    let named = ports.filter_map(|ports| match &ports.which {
        Which::Named(name) => Some((name.as_str(), ports.protocol)),
        _ => None,
    });
    named.collect()
}
