//! What the judge says that a decision must be.

use std::net::IpAddr;

use ipnet::IpNet;
use sextant_ebpf_common::policy::{Decision, reason_of, verdict, verdict_of};

use crate::{
    compile::{Because, Reasons, Sets, Why},
    endpoint::Endpoint,
    judgement::{Judgement, Reason, Verdict},
    set::Connection,
};

/// Who has an address.
pub(super) fn at(addresses: &[(IpNet, Endpoint)], address: IpAddr) -> Endpoint {
    let around = addresses.iter().filter(|(net, _)| net.contains(&address));
    // Of equal ones the first: the last one of the others in reverse.
    let longest = around.rev().max_by_key(|(net, _)| net.prefix_len());
    let host = addresses.iter().find(|(_, endpoint)| endpoint.is_host());
    match longest {
        Some((_, endpoint)) if endpoint.is_host() => host.unwrap().1.clone(),
        Some((_, endpoint)) => endpoint.clone(),
        None => Endpoint::outside(address),
    }
}

/// Holds a decision against the judge's.
pub(super) fn check(
    sets: &Sets<'_>,
    connection: &Connection<'_>,
    decision: Decision,
    reasons: &Reasons,
) -> Result<(), String> {
    if connection.subject.is_elsewhere() {
        return same(&decision, &0);
    }
    let enforced = sets.enforced.judge(connection);
    let audited = sets.with_audit.judge(connection);
    let denies = |judgement: &Judgement<'_>| judgement.verdict != Verdict::Allow;
    let (expected, judgement) = match (denies(&enforced), denies(&audited)) {
        (true, _) => (verdict::DENY, enforced),
        (false, true) => (verdict::AUDIT, audited),
        (false, false) => (verdict::ALLOW, enforced),
    };
    let is_allowed = expected == verdict::ALLOW;
    if !(is_allowed && decision == 0) {
        same(&verdict_of(decision), &expected)?;
    }
    let because = reasons.get(reason_of(decision));
    match (&judgement.reason, because) {
        (Reason::NotSelected, None) => Ok(()),
        (_, None) | (Reason::NotSelected, Some(_)) => Err(format!("{because:?} for {judgement:?}")),
        (_, Some(because)) => {
            same(&because.verdict, &expected)?;
            check_reason(&judgement, because)
        }
    }
}

fn check_reason(judgement: &Judgement<'_>, because: &Because) -> Result<(), String> {
    let (why, all): (_, Vec<_>) = match &judgement.reason {
        Reason::Rules(rules) => (
            match judgement.verdict {
                Verdict::AllowAuthenticated => Why::Authentication,
                _ => Why::Rules,
            },
            rules
                .iter()
                .map(|source| (source.policy, source.rule.place()))
                .collect(),
        ),
        Reason::DefaultDeny(policies) => {
            let all = policies.iter().map(|policy| (*policy, String::new()));
            (Why::DefaultDeny, all.collect())
        }
        _ => (Why::DefaultAllow, Vec::new()),
    };
    same(&because.why, &why)?;
    same(&because.told.is_empty(), &all.is_empty())?;
    for told in &because.told {
        if !all.contains(&(&told.policy, told.place.clone())) {
            return Err(format!("told {told:?}, and the judge tells {all:?}"));
        }
    }
    Ok(())
}

fn same<T: std::fmt::Debug + PartialEq>(told: &T, judged: &T) -> Result<(), String> {
    if told == judged {
        return Ok(());
    }
    Err(format!("tables say {told:?}, the judge {judged:?}"))
}
