//! Why a policy does less than one may think who has just changed it.
//!
//! Bound: `MOST` policies of an answer are looked at.

use std::collections::BTreeMap;

use sextant_policy::{
    endpoint::Endpoint,
    policy::Policy,
    ports::{Layer4, Which},
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
    for step in revision.steps.iter().take(MOST) {
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
    for (name, protocols) in named_ports(&after.policy) {
        let has = |endpoint: &Endpoint| {
            let mut of_name = protocols.iter();
            of_name.any(|protocol| endpoint.port(name, *protocol).is_some())
        };
        if !all().any(has) {
            warnings.push(format!(
                "nobody who is known has a port `{name}`, so what it says of that is about nothing; name it in `ports` of an [[endpoint]], or write its number"
            ));
        }
    }
    warnings
}

/// Names of ports in its rules, with their protocols: all that have ports, where a rule
/// says none.
fn named_ports(policy: &Policy) -> BTreeMap<&str, Vec<u8>> {
    let rules = policy.specs.iter().flat_map(|spec| &spec.rules);
    let ports = rules.flat_map(|rule| match &rule.layer4 {
        Layer4::Ports(ports) => ports.as_slice(),
        Layer4::All => &[],
    });
    let mut named: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for ports in ports {
        if let Which::Named(name) = &ports.which {
            named.entry(name).or_default().push(ports.protocol);
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sextant_policy::document::written;

    use super::*;
    use crate::flow::Time;

    fn entry(text: &str, mode: Mode) -> Entry {
        let written = written(text).unwrap().remove(0);
        Entry {
            policy: Arc::new(written.policy),
            document: written.document,
            mode,
            revision: 1,
            created: Time::default(),
            updated: Time::default(),
            bytes: 0,
        }
    }

    #[test]
    fn it_is_told_what_does_nothing_and_what_is_lifted() {
        let text = |app: &str, port: &str| {
            format!(
                "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: a, namespace: shop}}\n\
                 spec: {{endpointSelector: {{matchLabels: {{app: {app}}}}}, ingress: [{{toPorts: [{{ports: [{{port: {port}}}]}}]}}]}}\n"
            )
        };
        let labels = ["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"];
        let web = Endpoint {
            named_ports: [(("http".to_owned(), 6), 80)].into(),
            ..Endpoint::new(labels.into_iter().collect())
        };
        let known = Known::new(vec![web]);
        let told = |before: Option<Mode>, mode, app: &str, port: &str| {
            let after = Arc::new(entry(&text(app, port), mode));
            let before = before.map(|mode| Arc::new(entry(&text(app, port), mode)));
            let step = Step {
                id: after.policy.id.clone(),
                action: crate::policy::entry::Action::Updated,
                before,
                after: Some(Arc::clone(&after)),
            };
            of(&step, &after, &known, &Known::default()).len()
        };
        for (before, mode, app, port, warnings) in [
            (None, Mode::Enforce, "web", "http", 0),
            (None, Mode::Enforce, "web", "\"80\"", 0),
            (None, Mode::Enforce, "web", "grpc", 1),
            (None, Mode::Enforce, "other", "grpc", 2),
            (None, Mode::Disabled, "other", "grpc", 0),
            (Some(Mode::Enforce), Mode::Audit, "web", "http", 1),
            (Some(Mode::Audit), Mode::Enforce, "web", "http", 0),
        ] {
            assert_eq!(
                told(before, mode, app, port),
                warnings,
                "{app} {port} {mode:?}"
            );
        }
    }
}
