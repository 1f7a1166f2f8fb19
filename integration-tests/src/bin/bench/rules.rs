//! One set of rules, as policies and as nftables has them: who may send datagrams to
//! port 80, by 50,000 prefixes, and all others, by the last rule.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use sextant_integration_tests::{Daemon, daemon::connect, enforced::named_host_policy};
use sextant_proto::sextant::policy::v1::{
    ApplyRequest, Document, SetStatus, policy_service_client::PolicyServiceClient,
};

pub(crate) const RULES: usize = 10_000;
pub(crate) const PREFIXES: usize = 50_000;
const EACH: usize = PREFIXES / RULES;
/// Rules of one policy.
const OF_POLICY: usize = 500;

/// Those of one rule.
fn prefixes(rule: usize) -> String {
    let prefix = |n: usize| format!("11.{}.{}.0/24", n >> 8, n & 255);
    let prefixes: Vec<_> = (rule * EACH..(rule + 1) * EACH).map(prefix).collect();
    prefixes.join(", ")
}

/// A policy of the host with these rules.
pub(crate) fn policy(name: &str, rules: &str) -> Document {
    Document {
        name: String::new(),
        text: named_host_policy(name, &format!("ingress:\n{rules}")),
    }
}

/// Lets these prefixes in, to these ports.
pub(crate) fn rule(prefixes: &str, ports: &str) -> String {
    format!("  - fromCIDR: [{prefixes}]\n    toPorts: [{{ports: [{ports}]}}]\n")
}

pub(crate) fn allowing() -> Vec<Document> {
    let rule = |prefixes: &str, port: usize| {
        let ports = format!("{{port: \"80\", protocol: UDP}}, {{port: \"{port}\", protocol: TCP}}");
        rule(prefixes, &ports)
    };
    let mut policies: Vec<_> = (0..RULES)
        .step_by(OF_POLICY)
        .map(|from| {
            let rules = (from..from + OF_POLICY).map(|n| rule(&prefixes(n), 1000 + n));
            policy(&format!("p{from}"), &rules.collect::<String>())
        })
        .collect();
    policies.push(policy("rest", &rule("0.0.0.0/0", 999)));
    policies
}

/// Puts them in force, so many at a time; the set after it.
pub(crate) fn apply(
    daemon: &Daemon,
    policies: &[Document],
    at_once: usize,
) -> anyhow::Result<SetStatus> {
    daemon.block_on(async {
        let channel = connect(&daemon.server()).await.context("connecting")?;
        let mut client = PolicyServiceClient::new(channel);
        let mut status = None;
        for documents in policies.chunks(at_once) {
            let request = ApplyRequest {
                documents: documents.to_vec(),
                force: true,
                ..ApplyRequest::default()
            };
            let answer = client.apply(request).await?.into_inner();
            ensure!(
                answer.changes.len() == documents.len(),
                "not all are in force"
            );
            status = answer.status;
        }
        status.context("no status in the answer")
    })
}

const BEGIN: &str = "table inet bench {\n";
/// Those of known flows pass first, as such rules are usually made.
const CHAIN: &str = "chain input { type filter hook input priority 0; policy drop;\n\
    ct state established,related accept\nicmp type { echo-request, echo-reply } accept\n";

/// By sets, as somebody makes them who knows how.
pub(crate) fn sets() -> String {
    let mut text = format!(
        "{BEGIN}set allowed {{ type ipv4_addr . inet_service; flags interval; elements = {{\n"
    );
    for rule in 0..RULES {
        for prefix in prefixes(rule).split(", ") {
            let _ = writeln!(text, "{prefix} . 80,");
        }
    }
    text + "} }\n"
        + CHAIN
        + "meta l4proto udp ip saddr . udp dport @allowed accept\nudp dport 80 accept\n}\n}\n"
}

/// By a rule for each, as most programs make them.
pub(crate) fn chains() -> String {
    let mut text = format!("{BEGIN}{CHAIN}");
    for rule in 0..RULES {
        let _ = writeln!(
            text,
            "ip saddr {{ {} }} udp dport 80 accept",
            prefixes(rule)
        );
    }
    text + "udp dport 80 accept\n}\n}\n"
}
