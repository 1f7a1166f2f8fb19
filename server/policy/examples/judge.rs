//! Judges connections for comparison with other engines: JSON lines in, JSON lines out,
//! one of each for a set of policies. See `integration-tests/go/policy_*_test.go`.

use std::{
    error::Error,
    io::{self, BufRead as _, Write as _},
    net::IpAddr,
};

use serde::Deserialize;
use serde_json::json;
use sextant_policy::{
    document,
    endpoint::Endpoint,
    judgement::Verdict,
    policy::Direction,
    set::{Connection, Enforcement, PolicySet},
};

#[derive(Deserialize)]
struct Set {
    policies: String,
    endpoints: Vec<EndpointLine>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct EndpointLine {
    labels: Vec<String>,
    #[serde(default)]
    named_ports: std::collections::BTreeMap<String, NamedPort>,
}

#[derive(Deserialize)]
struct NamedPort {
    protocol: u8,
    port: u16,
}

#[derive(Deserialize)]
struct Case {
    subject: usize,
    peer: PeerLine,
    direction: String,
    protocol: u8,
    port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PeerLine {
    Endpoint(usize),
    Address(IpAddr),
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let set: Set = serde_json::from_str(&line?)?;
        let answer = match document::parse(&set.policies) {
            Ok(policies) => {
                let policies = PolicySet::new(policies, Enforcement::Default);
                json!({ "verdicts": verdicts(&policies, &set) })
            }
            Err(problems) => json!({ "error": problems.to_string() }),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn verdicts(policies: &PolicySet, set: &Set) -> Vec<&'static str> {
    let endpoints: Vec<Endpoint> = set.endpoints.iter().map(endpoint).collect();
    let verdict = |case: &Case| {
        let outside;
        let peer = match case.peer {
            PeerLine::Endpoint(n) => &endpoints[n],
            PeerLine::Address(address) => {
                outside = Endpoint::outside(address);
                &outside
            }
        };
        let judgement = policies.judge(&Connection {
            subject: &endpoints[case.subject],
            peer,
            direction: match case.direction.as_str() {
                "ingress" => Direction::Ingress,
                _ => Direction::Egress,
            },
            protocol: case.protocol,
            port: case.port,
        });
        match judgement.verdict {
            Verdict::Allow => "allow",
            Verdict::AllowAuthenticated => "allow-auth",
            Verdict::Deny => "deny",
        }
    };
    set.cases.iter().map(verdict).collect()
}

fn endpoint(line: &EndpointLine) -> Endpoint {
    let named = line.named_ports.iter();
    Endpoint {
        named_ports: named
            .map(|(name, port)| ((name.clone(), port.protocol), port.port))
            .collect(),
        ..Endpoint::new(line.labels.iter().map(String::as_str).collect())
    }
}
