//! The set of policies, as metrics.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};

use crate::policy::{
    enforce::Mode,
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
        for (name, mode) in [
            ("enforce", Mode::Enforce),
            ("audit", Mode::Audit),
            ("disabled", Mode::Disabled),
        ] {
            let of_mode = state.entries.values().filter(|entry| entry.mode == mode);
            let count = ConstGauge::new(of_mode.count() as i64);
            count.encode(family.encode_family(&[("mode", name)])?)?;
        }
        for (name, help, value) in gauges(&state) {
            let gauge = ConstGauge::new(value);
            let encoder = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(encoder)?;
        }
        Ok(())
    }
}

fn gauges(state: &State) -> [(&'static str, &'static str, i64); 6] {
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
