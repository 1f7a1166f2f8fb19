//! The set of policies: what puts it in force, and the service over it.

use std::sync::Arc;

use anyhow::Context as _;
use sextant_proto::sextant::policy::v1::policy_service_server::PolicyServiceServer;

use super::{Core, datapath::RunningDatapath};
use crate::{
    config::Config,
    policy::{
        ends::Ends,
        enforce::{Enforce, Nowhere},
        policies::Policies,
    },
    service::PolicySetService,
};

/// What puts policies in force.
fn enforce(datapath: Option<&RunningDatapath>) -> Arc<dyn Enforce> {
    let why = match datapath {
        Some(_) => "this version does not enforce policies yet",
        None => "the datapath is off (--no-datapath)",
    };
    Arc::new(Nowhere { why: why.into() })
}

/// The set, in force where it can be.
pub(super) async fn open(
    config: &Config,
    datapath: Option<&RunningDatapath>,
) -> anyhow::Result<Policies> {
    let (folder, enforce) = (config.state_dir.clone(), enforce(datapath));
    let enforcement = config.policy.enforcement;
    let open = move || Policies::open(&folder, enforcement, enforce);
    let opened = tokio::task::spawn_blocking(open).await;
    opened.context("opening the set of policies")
}

/// The service over it.
pub(super) fn service(core: &Core, policies: &Policies) -> PolicyServiceServer<PolicySetService> {
    let ends = Ends::new(core.identities.snapshot(), &core.config.node_labels);
    PolicySetService::new(policies.clone(), ends).into_server(core.config.server.max_request_bytes)
}
