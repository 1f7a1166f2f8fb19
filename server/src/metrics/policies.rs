//! The set of policies, as metrics.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use sextant_policy::policy::PolicyId;

use crate::policy::{
    enforce::{Hit, Mode},
    policies::Policies,
    state::{Standing, State},
};

/// Gauges of the set as it is when they are asked for.
pub(super) struct OfPolicies(pub(super) Policies);

impl fmt::Debug for OfPolicies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfPolicies").finish_non_exhaustive()
    }
}

impl Collector for OfPolicies {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let state = self.0.state();
        let mut family = encoder.encode_descriptor(
            "policies",
            "Policies that are kept, by how far they go",
            None,
            MetricType::Gauge,
        )?;
        for of in [Mode::Enforce, Mode::Audit, Mode::Disabled] {
            let of_mode = state.entries.values().filter(|entry| entry.mode == of);
            let count = ConstGauge::new(of_mode.count() as i64);
            count.encode(family.encode_family(&[("mode", mode(of))])?)?;
        }
        for (name, help, value) in gauges(&state, self.0.unkept().is_some()) {
            let gauge = ConstGauge::new(value);
            let encoder = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(encoder)?;
        }
        hits(self.0.hits(), &mut encoder)?;
        let uncounted = ConstCounter::new(self.0.uncounted_hits());
        let family = encoder.encode_descriptor(
            "policy_hits_not_counted",
            "Connections of rules that found no place to be counted, 65,536 at most",
            None,
            MetricType::Counter,
        )?;
        uncounted.encode(family)
    }
}

/// Series of hits at most; what is beyond is in one.
const MOST_HITS: usize = 10_000;

/// Connections that rules were met by. A rule that is changed keeps what it had. Which
/// rules have a series does not change with those that come later by name.
fn hits(mut hits: Vec<Hit>, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
    hits.sort_by(|one, other| key(one).cmp(&key(other)));
    let mut family = page.encode_descriptor(
        "policy_hits",
        "Connections that policies decided, by rule and verdict; without a rule a policy denies by default",
        None,
        MetricType::Counter,
    )?;
    let mut overflow = 0;
    for (at, hit) in hits.iter().enumerate() {
        if at >= MOST_HITS {
            overflow += hit.flows;
            continue;
        }
        let labels = [
            ("policy", hit.policy.to_string()),
            ("rule", hit.rule.clone()),
            ("verdict", hit.verdict.to_owned()),
            ("mode", mode_of(hit).to_owned()),
        ];
        ConstCounter::new(hit.flows).encode(family.encode_family(&labels)?)?;
    }
    if overflow > 0 {
        let labels = ["policy", "rule", "verdict", "mode"].map(|name| (name, "overflow"));
        ConstCounter::new(overflow).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn key(hit: &Hit) -> (&PolicyId, &str, &str, bool) {
    (&hit.policy, &hit.rule, hit.verdict, hit.is_enforced)
}

/// How far the policy went then.
fn mode_of(hit: &Hit) -> &'static str {
    mode(match hit.is_enforced {
        true => Mode::Enforce,
        false => Mode::Audit,
    })
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Audit => "audit",
        Mode::Disabled => "disabled",
    }
}

fn gauges(state: &State, is_unkept: bool) -> [(&'static str, &'static str, i64); 7] {
    let (cost, is_failed) = match &state.standing {
        Standing::Active(cost) => (*cost, false),
        Standing::Failed(_) => (Default::default(), true),
    };
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    [
        (
            "active_policies",
            "Policies that are in force, or in audit",
            state.active() as i64,
        ),
        (
            "policies_failed",
            "1 while the kept policies are not in force though they should be",
            is_failed.into(),
        ),
        (
            "policies_unkept",
            "1 while policies are not kept on the disk, or those that were are lost",
            is_unkept.into(),
        ),
        (
            "policies_revision",
            "Revision of the set of policies",
            number(state.revision),
        ),
        (
            "policies_to_confirm",
            "1 while a change waits to be confirmed",
            state.pending.is_some().into(),
        ),
        (
            "policies_map_entries",
            "Entries that the policies take in the kernel's tables",
            number(cost.entries),
        ),
        (
            "policies_map_bytes",
            "Bytes that the policies take in the kernel's tables",
            number(cost.bytes),
        ),
    ]
}
